/**
 * Learns whether a model takes less time for several pictures in one run. With wide 8-bit instructions it does. Without
 * them it may take more, and every picture in the run only waits longer.
 */
export interface BatchGain {
  /** How many of `most` waiting pictures should run together: all or one. */
  choose(most: number): number;
  /** A run of `count` pictures took `runMs` milliseconds. */
  record(count: number, runMs: number): void;
}

const MEMORY = 0.1; // weight of the newest run in a mean
const PAYS = 0.95; // most time per picture in a batch, relative to a run alone
const RETRY = 32; // one in this many goes to what seems worse, since load and neighbours change

export function createBatchGain(): BatchGain {
  const means = { alone: Number.NaN, together: Number.NaN };
  let chances = 0;
  return {
    choose(most) {
      if (most === 1) return 1;
      chances += 1;
      const pays = !(means.together >= PAYS * means.alone); // true while either is unknown
      return pays === (chances % RETRY === 0) ? 1 : most;
    },
    record(count, runMs) {
      const kind = count === 1 ? 'alone' : 'together';
      const each = runMs / count;
      const mean = means[kind];
      means[kind] = Number.isNaN(mean) ? each : mean + MEMORY * (each - mean);
    },
  };
}
