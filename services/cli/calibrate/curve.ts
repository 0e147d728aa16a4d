import type { CascadeView } from '../../../shared/bundle/view.ts';
import { replay } from '../../../shared/policy/replay.ts';
import { lowerBound, upperBound } from './binomial.ts';
import type { Predictions } from './predictions.ts';

/** One held-out picture: the gate's value, and whether the answer is right without and with the routed expert. */
export interface Picture {
  value: number;
  edgeRight: boolean;
  expertRight: boolean;
}

/**
 * A threshold, and the shares of pictures that it is expected to escalate and to answer right, without a look at the
 * held-out pictures.
 */
export interface Candidate {
  threshold: number;
  expected: { escalated: number; right: number };
}

/** What a threshold does to the held-out pictures. */
export interface Point extends Candidate {
  /** How many pictures it escalates, and how many answers are right then. */
  escalated: number;
  right: number;
}

interface Interval {
  value: number;
  low: number;
  high: number;
}

/** Replays the cascade on stored predictions: of the `held` pictures, or of those that the policy was fitted on. */
export function replayAll(cascade: CascadeView, predictions: Predictions, held: boolean): Picture[] {
  const pictures: Picture[] = [];
  predictions.labels.forEach((label, i) => {
    if ((predictions.held[i] === 1) !== held) return;
    const logits = (model: string) => (predictions.logits.get(model) as Float32Array[])[i] as Float32Array;
    const { value, edgeRight, expertRight } = replay(cascade, { label, logits });
    pictures.push({ value, edgeRight, expertRight });
  });
  return pictures;
}

const STEPS = 200;
const even = Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS);

/**
 * Thresholds that escalate evenly spaced shares of `fitted`, the pictures that are not held out. Evenly spaced
 * thresholds would resolve badly, since a good generalist is sure of most pictures. Without `fitted` they are used all
 * the same, and each is expected to be better than those below it. The first is 0, which escalates nothing.
 */
export function candidates(fitted: Picture[]): Candidate[] {
  const n = fitted.length;
  if (n === 0) return even.map((share) => ({ threshold: share, expected: { escalated: share, right: share } }));
  const values = fitted.map(({ value }) => value).sort((a, b) => a - b);
  const thresholds = even.map((share) => values[Math.floor(share * (n - 1))] as number);
  const different = new Set([0, ...thresholds.map((value) => Math.round(1e9 * value) / 1e9), 1]);
  return Array.from(different, (threshold) => {
    const { escalated, right } = count(fitted, threshold);
    return { threshold, expected: { escalated: escalated / n, right: right / n } };
  });
}

/** How many pictures the threshold escalates, and how many answers are right then. */
function count(pictures: Picture[], threshold: number) {
  const escalated = pictures.filter(({ value }) => value < threshold).length;
  const right = pictures.filter((p) => (p.value < threshold ? p.expertRight : p.edgeRight)).length;
  return { escalated, right };
}

/**
 * What each candidate does. Candidates are fixed before the held-out pictures are seen, so certificates may search
 * them.
 */
export function curve(pictures: Picture[], among: Candidate[] = candidates([])): Point[] {
  return among.map((candidate) => ({ ...candidate, ...count(pictures, candidate.threshold) }));
}

/** The share k of n with its two-sided Clopper-Pearson interval. */
export function interval(k: number, n: number, delta: number): Interval {
  const round = (value: number) => Math.round(value * 1e4) / 1e4;
  return {
    value: round(k / n),
    low: round(lowerBound(k, n, delta / 2)),
    high: round(upperBound(k, n, delta / 2)),
  };
}
