import type { Manifest } from '../bundle/load.ts';
import { normalisedEntropy, rankByGain } from './expected-gain.ts';
import { largest, topK } from './probabilities.ts';

export type Metric = Manifest['routing']['metric'];

export interface Candidate {
  expert: string;
  /** Top-k probability mass, or expected gain in nats; see the manifest's `routing.scoring`. */
  score: number;
}

interface Routing {
  /** The gate's metric, in 0..1: below the threshold the best candidate is worth asking. */
  value: number;
  /** Best first; never empty. */
  candidates: Candidate[];
}

type Measure = (probabilities: Float64Array, candidates: Candidate[]) => number;

/** Confidence in 0..1, higher is surer, from calibrated probabilities [n]. */
export const metrics: Record<Metric, Measure> = {
  'max-probability': largest,
  margin: (p) => {
    const [first = 0, second = 0] = topK(p, 2);
    return (p[first] as number) - (p[second] as number);
  },
  entropy: (p) => 1 - normalisedEntropy(p),
  /** One minus the best candidate's expected gain: a threshold of 1 - c asks where that is worth more than c nats. */
  'expected-gain': (_, [best]) => Math.min(1, Math.max(0, 1 - (best as Candidate).score)),
};

/** Whom to ask, and how much asking is called for, from the generalist's calibrated probabilities [n]. */
export function decideRouting(probabilities: Float64Array, manifest: Pick<Manifest, 'routing' | 'experts'>): Routing {
  const { scoring, metric, k } = manifest.routing;
  const candidates =
    scoring.method === 'expected-gain'
      ? rankByGain(probabilities, scoring, manifest.experts)
      : rankExperts(probabilities, k, manifest.experts);
  return { value: metrics[metric](probabilities, candidates), candidates };
}

/**
 * Scores each expert by the probability mass of the top-k predictions that lie in its classes, as in Ask the Expert
 * (arXiv:2602.13334). Best first; equal scores go to the owner of the more probable class, then to the lower id.
 * Experts without any of the k are left out; since every class has an owner, there is always one.
 */
export function rankExperts(
  probabilities: Float64Array,
  k: number,
  experts: { id: string; classes: number[] }[],
): Candidate[] {
  const top = topK(probabilities, k);
  const scored = experts.flatMap(({ id, classes }) => {
    const mine = top.filter((label) => classes.includes(label));
    const score = mine.reduce((sum, label) => sum + (probabilities[label] as number), 0);
    return mine.length === 0 ? [] : [{ expert: id, score, best: top.indexOf(mine[0] as number) }];
  });
  scored.sort((a, b) => b.score - a.score || a.best - b.best || (a.expert < b.expert ? -1 : 1));
  return scored.map(({ expert, score }) => ({ expert, score }));
}
