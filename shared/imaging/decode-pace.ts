/** Learns how much longer decoding takes here than was foretold, for each kind of file. */
export interface DecodePace {
  /** What decoding such a file will take, of which so many milliseconds are foretold. */
  expect(kind: string, foretoldMs: number): number;
  /** It took so long. */
  learn(kind: string, foretoldMs: number, tookMs: number): void;
  /** It was not even begun: nothing will be learnt from it, and what is known of its kind may be out of date. */
  forgo(kind: string): void;
}

const WEIGHT = 0.1; // of the newest
const LEAST_MS = 2; // what takes less says more of the rest of the machine
// A machine that does other things must not make ordinary pictures refused, nor an idle one all be begun.
const MOST = 3;

export function createDecodePace(): DecodePace {
  const factors = new Map<string, number>();
  const factorOf = (kind: string) => factors.get(kind) ?? 1;
  const approach = (kind: string, factor: number) => {
    factors.set(kind, factorOf(kind) + WEIGHT * (factor - factorOf(kind)));
  };
  return {
    expect: (kind, foretoldMs) => factorOf(kind) * foretoldMs,
    learn(kind, foretoldMs, tookMs) {
      if (foretoldMs >= LEAST_MS) approach(kind, Math.min(MOST, Math.max(1 / MOST, tookMs / foretoldMs)));
    },
    forgo: (kind) => approach(kind, Math.min(1, factorOf(kind))),
  };
}
