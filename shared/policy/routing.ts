import type { Cascade } from '../bundle/cascade.ts';
import type { Candidate } from './candidate.ts';
import { rankByGain } from './expected-gain.ts';
import { measures } from './gate.ts';
import { topK } from './probabilities.ts';

/** The parts of a cascade that decide: its gate, its routing, and the experts' classes. */
interface Policy extends Pick<Cascade, 'gate' | 'routing'> {
  experts: { id: string; classes: number[] }[];
}

interface Routing {
  /** The value of the gate's measure. */
  value: number;
  /** Best first; never empty. */
  candidates: Candidate[];
}

/** The experts to ask and the gate's value, from the generalist's calibrated probabilities [n]. */
export function decideRouting(probabilities: Float64Array, { gate, routing, experts }: Policy): Routing {
  const { scoring, k } = routing;
  const candidates =
    scoring.method === 'expected-gain'
      ? rankByGain(probabilities, scoring, experts)
      : rankExperts(probabilities, k, experts);
  return { value: measures[gate.measure](probabilities, candidates), candidates };
}

/**
 * Scores each expert by the probability mass of the top-k predictions in its classes, as in Ask the Expert
 * (arXiv:2602.13334). Best first; equal scores go to the owner of the more probable class, then to the lower id.
 * Experts without any of the k are left out; since every class has an owner, at least one remains.
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
