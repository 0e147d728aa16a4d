/** How long a run may take before its process counts as hung, learned from finished runs. */
export interface RunLimit {
  /** Milliseconds for the next run; `loaded`: the model need not be loaded first. */
  allow(loaded: boolean): number;
  ended(runMs: number): void;
}

const LOADING_MS = 30_000;
const MIN_MS = 1000; // short enough for a retry within a usual deadline
const TIMES = 20; // times the longest recent run
const MEMORY = 0.99; // decay of the longest run, per run

/** `fixedMs`: a fixed limit. Default: learned. */
export function createRunLimit(fixedMs?: number): RunLimit {
  let longestMs = 0;
  return {
    allow: (loaded) =>
      fixedMs ?? (loaded && longestMs > 0 ? Math.min(LOADING_MS, Math.max(MIN_MS, TIMES * longestMs)) : LOADING_MS),
    ended(runMs) {
      longestMs = Math.max(MEMORY * longestMs, runMs);
    },
  };
}
