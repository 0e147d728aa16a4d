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
  /** Milliseconds until what was begun will be done; 0 while nothing waits or nothing is known. */
  readonly waitMs: number;
}

const MEMORY = 0.05; // weight of the newest interval in the mean: about the last twenty count

export function createPace(now: () => number = () => performance.now()): Pace {
  let backlog = 0;
  let interval = 0;
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
          end();
          const at = now();
          interval = interval === 0 ? at - since : interval + MEMORY * (at - since - interval);
          since = at;
        },
        [Symbol.dispose]: end,
      };
    },
    get waitMs() {
      return backlog * interval;
    },
  };
}
