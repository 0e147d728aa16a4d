/** Learns, for each kind of file, the factor between the nominal cost of decoding and its time on this machine. */
interface DecodeTimes {
  /** Milliseconds that a file of this kind and nominal cost will take here. */
  estimate(kind: string, nominalMs: number): number;
  /** A file took `tookMs`. */
  record(kind: string, nominalMs: number, tookMs: number): void;
  /** A file was refused unread, which teaches nothing. A factor above 1 decays, since it may be out of date. */
  skip(kind: string): void;
}

const WEIGHT = 0.1; // weight of the newest file
const MIN_MS = 2; // shorter times say more about the rest of the machine
// Bounds the factor: a busy machine must not refuse ordinary pictures, nor an idle one accept all.
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
