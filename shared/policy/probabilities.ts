/** logits [n] -> calibrated probabilities [n] that sum to 1; `temperature` > 1 flattens. */
export function softmax(logits: ArrayLike<number>, temperature: number): Float64Array {
  const highest = largest(logits);
  const out = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.exp(((logits[i] as number) - highest) / temperature);
    sum += out[i] as number;
  }
  for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) / sum;
  return out;
}

/** The largest value; -Infinity if there is none. */
export function largest(values: ArrayLike<number>): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) highest = Math.max(highest, values[i] as number);
  return highest;
}

/** Indices of the k largest values, largest first; among equals the lower index first. */
export function topK(values: ArrayLike<number>, k: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    let at = best.length;
    while (at > 0 && (values[best[at - 1] as number] as number) < value) at -= 1;
    if (at === k) continue;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  return best;
}
