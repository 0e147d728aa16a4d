/**
 * Learns whether a model takes less time for pictures together than one by one: on a processor with wide instructions
 * for 8-bit numbers it does, on one without it may take more, and then whoever is in the run only waits longer.
 */
export interface BatchGain {
  /** Of `most` pictures that could run together, how many should: all or one. */
  choose(most: number): number;
  /** A run of `count` pictures took `runMs` milliseconds. */
  record(count: number, runMs: number): void;
}

const MEMORY = 0.1; // weight of the newest run in a mean
const PAYS = 0.95; // most time a picture may take together, over that alone
const RETRY = 32; // one of so many chances goes to what seems worse: neighbours and load change what is

export function createBatchGain(): BatchGain {
  const means = { alone: Number.NaN, together: Number.NaN };
  let chances = 0;
  return {
    choose(most) {
      if (most === 1) return 1;
      chances += 1;
      const pays = !(means.together >= PAYS * means.alone); // also while either is unknown
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
