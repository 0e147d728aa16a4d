import '../../shared/service/relaunch.ts';

// No static import: static imports load before any of them runs, and again in the process that replaces this one.
await import('./run.ts');
