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
export interface Pace {
  begin(): Work;
  /** Milliseconds until what was begun will be done, at the pace so far; 0 while nothing waits or nothing is known. */
  readonly waitMs: number;
}

const MEMORY = 0.05; // least weight of the newest interval in the mean: about the last twenty count
const LEAP = 4; // one stall must not be taken for the new pace: an interval counts as at most so many means

/** `servers`: how many work side by side; `batch`: how many pieces one of them may finish together. */
export function createPace(servers: number, batch = 1, now: () => number = () => performance.now()): Pace {
  let backlog = 0;
  let known = 0;
  let interval = 0; // mean time between two pieces done while all servers are busy
  let since = 0; // when the last piece was done, or the first began after a pause
  return {
    begin() {
      if (backlog === 0) since = now();
      backlog += 1;
      let over = false;
      const end = () => {
        if (!over) backlog -= 1;
        over = true;
      };
      return {
        done() {
          if (over) return;
          const at = now();
          // With fewer pieces than servers some of these were idle: all busy, the interval would have been shorter.
          const sample = ((at - since) * Math.min(backlog, servers)) / servers;
          known += 1;
          const bounded = known === 1 ? sample : Math.min(sample, LEAP * batch * interval);
          interval += Math.max(1 / known, MEMORY) * (bounded - interval);
          since = at;
          end();
        },
        [Symbol.dispose]: end,
      };
    },
    get waitMs() {
      // Nothing done for longer than usual: it will take at least as long again.
      return backlog === 0 || known === 0 ? 0 : Math.max(backlog * interval, now() - since - interval);
    },
  };
}
