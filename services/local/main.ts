import '../../shared/service/relaunch.ts';

// No static import: those are all loaded before the first of them runs, and would be again in the process begun anew.
await import('./run.ts');
