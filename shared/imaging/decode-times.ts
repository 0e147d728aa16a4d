/** Learns how much longer decoding takes here than was foretold, for each kind of file. */
export interface DecodeTimes {
  /** What decoding such a file will take, of which so many milliseconds are foretold. */
  estimate(kind: string, nominalMs: number): number;
  /** It took so long. */
  record(kind: string, nominalMs: number, tookMs: number): void;
  /** It was not even begun: nothing will be learnt from it, and what is known of its kind may be out of date. */
  skip(kind: string): void;
}

const WEIGHT = 0.1; // of the newest
const MIN_MS = 2; // what takes less says more of the rest of the machine
// A machine that does other things must not make ordinary pictures refused, nor an idle one all be begun.
const MAX_FACTOR = 3;

export function createDecodeTimes(): DecodeTimes {
  const factors = new Map<string, number>();
  const factorOf = (kind: string) => factors.get(kind) ?? 1;
  const approach = (kind: string, factor: number) => {
    factors.set(kind, factorOf(kind) + WEIGHT * (factor - factorOf(kind)));
  };
  return {
    estimate: (kind, nominalMs) => factorOf(kind) * nominalMs,
    record(kind, nominalMs, tookMs) {
      if (nominalMs >= MIN_MS) approach(kind, Math.min(MAX_FACTOR, Math.max(1 / MAX_FACTOR, tookMs / nominalMs)));
    },
    skip: (kind) => approach(kind, Math.min(1, factorOf(kind))),
  };
}
