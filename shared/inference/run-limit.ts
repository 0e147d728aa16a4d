/** How long a run may take before its process counts as hung, learnt from the runs that ended. */
export interface RunLimit {
  /** Milliseconds for the next run of a model that is `loaded` already, or must be first. */
  allow(loaded: boolean): number;
  ended(runMs: number): void;
}

const LOADING_MS = 30_000;
const MIN_MS = 1000; // short enough to try again within a usual deadline
const TIMES = 20; // the longest run of late
const MEMORY = 0.99; // of the longest run, from one to the next

/** `fixedMs`: the limit whatever ends; default: learnt. */
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
