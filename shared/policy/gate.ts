import type { Cascade, Measure } from '../bundle/cascade.ts';
import type { Candidate } from './candidate.ts';
import { normalisedEntropy } from './expected-gain.ts';
import { largest, topK } from './probabilities.ts';

type Measurement = (probabilities: Float64Array, candidates: Candidate[]) => number;

/** Confidence in 0..1, higher is surer, from calibrated probabilities [n]. */
export const measures: Record<Measure, Measurement> = {
  'max-probability': largest,
  margin: (p) => {
    const [first = 0, second = 0] = topK(p, 2);
    return (p[first] as number) - (p[second] as number);
  },
  entropy: (p) => 1 - normalisedEntropy(p),
  /** One minus the best candidate's expected gain: a threshold of 1 - c asks where that is worth more than c nats. */
  'expected-gain': (_, [best]) => Math.min(1, Math.max(0, 1 - (best as Candidate).score)),
};

/** Whether the generalist's answer stands. It does at exactly the threshold. */
export function isSure(value: number, threshold: number, escalates: Cascade['gate']['escalates']): boolean {
  return escalates === 'below' ? value >= threshold : value <= threshold;
}
