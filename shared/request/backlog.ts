/** One piece of work that was begun. */
export interface Work {
  /** Ends it as done: its time counts. */
  done(): void;
  /** Ends it as given up. Does nothing after `done`. */
  [Symbol.dispose](): void;
}

/**
 * Estimates how long a new piece of work would wait, from the number of pieces in work and the pace at which they got
 * done. A limit on the number alone does not bound the wait when work gets slower.
 */
export interface Backlog {
  begin(): Work;
  /** Estimated milliseconds until all work that was begun is done; 0 while there is none or the pace is unknown. */
  readonly waitMs: number;
}

const MEMORY = 0.05; // least weight of the newest interval in the mean: about the last twenty count
const LEAP = 4; // one stall must not become the pace: an interval counts as at most this many means

/** `servers`: how many work in parallel; `batch`: how many pieces one of them may finish together. */
export function createBacklog(servers: number, batch = 1, now: () => number = () => performance.now()): Backlog {
  const begun = new Map<Work, number>(); // when each piece of work began, oldest first
  let known = 0;
  let interval = 0; // mean time between two finished pieces while all servers are busy
  let last = Number.NEGATIVE_INFINITY; // when the last piece was done

  return {
    begin() {
      const work: Work = {
        done() {
          const from = begun.get(work);
          if (from === undefined) return;
          const at = now();
          // The interval starts no earlier than the piece itself: before it there was no work, or only work that was
          // given up. With fewer pieces than servers some servers were idle: with all busy, the interval would have
          // been shorter.
          const sample = ((at - Math.max(last, from)) * Math.min(begun.size, servers)) / servers;
          known += 1;
          const bounded = known === 1 ? sample : Math.min(sample, LEAP * batch * interval);
          interval += Math.max(1 / known, MEMORY) * (bounded - interval);
          last = at;
          begun.delete(work);
        },
        [Symbol.dispose]: () => void begun.delete(work),
      };
      begun.set(work, now());
      return work;
    },
    get waitMs() {
      const [oldest] = begun.values();
      if (oldest === undefined || known === 0) return 0;
      const foretold = begun.size * interval;
      if (begun.size < servers) return foretold; // an idle server takes one more at once, however slow the others are
      // A stall: nothing was done for longer than usual though there was work. It will last at least as long again.
      return Math.max(foretold, now() - Math.max(last, oldest) - interval);
    },
  };
}
