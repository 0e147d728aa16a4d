import { topK } from '../../shared/probabilities.ts';

export type Metric = 'max-probability' | 'margin' | 'entropy';

export interface Candidate {
  expert: string;
  score: number;
}

/** Confidence in 0..1, higher is surer, from calibrated probabilities [n]. */
export const metrics: Record<Metric, (probabilities: Float64Array) => number> = {
  'max-probability': (p) => Math.max(...p),
  margin: (p) => {
    const [first = 0, second = 0] = topK(p, 2);
    return (p[first] as number) - (p[second] as number);
  },
  /** One minus the Shannon entropy over its largest possible value. */
  entropy: (p) =>
    1 + p.reduce((sum, value) => (value > 0 ? sum + value * Math.log(value) : sum), 0) / Math.log(p.length),
};

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
