import type { Cascade } from '../bundle/cascade.ts';

const FLOOR = 1e-12; // a probability that underflowed to 0 must not veto the other model

/**
 * Log-linear pooling of two distributions [n]: proportional to generalist^a * expert^b, with the manifest's weights.
 * They are fitted on escalated validation pictures so that the result is calibrated, and need not sum to 1.
 */
export function mergeLogLinear(
  generalist: Float64Array,
  expert: Float64Array,
  weights: Cascade['routing']['merge'],
): Float64Array {
  const merged = generalist.map((p, i) => {
    const q = expert[i] as number;
    return Math.max(p, FLOOR) ** weights.generalistWeight * Math.max(q, FLOOR) ** weights.expertWeight;
  });
  const sum = merged.reduce((total, value) => total + value, 0);
  return merged.map((value) => value / sum);
}
