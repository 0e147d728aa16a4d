import type { Cascade, GainWeights } from '../bundle/cascade.ts';
import type { Candidate } from './candidate.ts';
import { topK } from './probabilities.ts';

type Scoring = Extract<Cascade['routing']['scoring'], { method: 'expected-gain' }>;

/**
 * Scores each expert by its expected gain: the rise of the true label's log-probability, in nats, once its output is
 * merged in. A regression on the generalist's probabilities [n] alone, learned on validation pictures
 * (training/ask_training/policy/gain.py). Best first; equal scores go to the lower id. Unlike the top-k mass it may
 * choose an expert that owns none of the top-k labels.
 */
export function rankByGain(
  probabilities: Float64Array,
  scoring: Scoring,
  experts: { id: string; classes: number[] }[],
): Candidate[] {
  const [first = 0, second = 0] = topK(probabilities, 2);
  const confidence = probabilities[first] as number;
  const runnerUp = probabilities[second] as number;
  const entropy = normalisedEntropy(probabilities);
  const scored = experts.map(({ id, classes }) => {
    let mass = 0;
    let best = 0;
    let next = 0;
    for (const label of classes) {
      const p = probabilities[label] as number;
      mass += p;
      next = Math.max(next, Math.min(best, p));
      best = Math.max(best, p);
    }
    const features: Record<keyof GainWeights, number> = {
      mass,
      best,
      next,
      confidence,
      runnerUp,
      entropy,
      ownsFirst: classes.includes(first) ? 1 : 0,
      ownsSecond: classes.includes(second) ? 1 : 0,
      massSquared: mass * mass,
      confidenceSquared: confidence * confidence,
      massTimesConfidence: mass * confidence,
      massTimesBest: mass * best,
    };
    const names = Object.keys(features) as (keyof GainWeights)[];
    const gain = names.reduce((sum, name) => sum + scoring.weights[name] * features[name], 0);
    return { expert: id, score: (scoring.intercepts[id] as number) + gain };
  });
  return scored.sort((a, b) => b.score - a.score || (a.expert < b.expert ? -1 : 1));
}

/** Shannon entropy of [n] relative to its maximum, in 0..1. */
export function normalisedEntropy(probabilities: Float64Array): number {
  let sum = 0;
  for (const p of probabilities) if (p > 0) sum -= p * Math.log(p);
  return sum / Math.log(probabilities.length);
}
