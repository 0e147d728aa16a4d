/** One piece of work that was begun here. */
export interface Work {
  /** It got done: how long that took counts. */
  done(): void;
  /** It is over, done or given up. Does nothing after `done`. */
  [Symbol.dispose](): void;
}

/**
 * Learns how fast work gets done while there is some, and from that and the backlog foretells how long one more piece
 * would wait. Age is what callers feel, and what a limit on the number waiting does not bound when work gets slower.
 */
export interface Backlog {
  begin(): Work;
  /** Milliseconds until what was begun will be done, at the pace so far; 0 while nothing waits or nothing is known. */
  readonly waitMs: number;
}

const MEMORY = 0.05; // least weight of the newest interval in the mean: about the last twenty count
const LEAP = 4; // one stall must not be taken for the new backlog: an interval counts as at most so many means

/** `servers`: how many work side by side; `batch`: how many pieces one of them may finish together. */
export function createBacklog(servers: number, batch = 1, now: () => number = () => performance.now()): Backlog {
  const begun = new Map<Work, number>(); // the backlog, oldest first
  let known = 0;
  let interval = 0; // mean time between two pieces done while all servers are busy
  let last = Number.NEGATIVE_INFINITY; // when a piece was done

  return {
    begin() {
      const work: Work = {
        done() {
          const from = begun.get(work);
          if (from === undefined) return;
          const at = now();
          // It took no longer than it was here: before it there was nothing to do, or only what was given up.
          // With fewer pieces than servers some of these were idle: all busy, the interval would have been shorter.
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
      if (begun.size < servers) return foretold; // who is not busy begins one more at once, however slow the others are
      // Nothing done for longer than usual, and something there all the while: it will take at least as long again.
      return Math.max(foretold, now() - Math.max(last, oldest) - interval);
    },
  };
}
