import type { Manifest, ModelEntry } from '../../../shared/manifest.ts';
import { softmax, topK } from '../../../shared/probabilities.ts';
import { decideRouting } from '../../edge/gate.ts';
import { mergeLogLinear } from '../../edge/merge.ts';
import { lowerBound, upperBound } from './binomial.ts';
import type { Predictions } from './predictions.ts';

/** One held picture: the gate's value, and whether the answer is right without and with the routed expert. */
export interface Picture {
  value: number;
  edgeRight: boolean;
  expertRight: boolean;
}

/** What one threshold does to the held pictures. */
export interface Point {
  threshold: number;
  /** How many of the pictures it escalates, and how many answers are right then. */
  escalated: number;
  right: number;
}

interface Interval {
  value: number;
  low: number;
  high: number;
}

/** Replays gate, routing and merge on the stored predictions of the held pictures, by the services' own code. */
export function replay(manifest: Manifest, predictions: Predictions): Picture[] {
  const of = (entry: ModelEntry, i: number) =>
    softmax((predictions.logits.get(entry.id) as Float32Array[])[i] as Float32Array, entry.temperature);
  const pictures: Picture[] = [];
  predictions.labels.forEach((label, i) => {
    if (predictions.held[i] === 0) return;
    const edge = of(manifest.generalist, i);
    const { value, candidates } = decideRouting(edge, manifest);
    const expert = manifest.experts.find(({ id }) => id === candidates[0]?.expert) as ModelEntry;
    const merged = mergeLogLinear(edge, of(expert, i), manifest.routing.merge);
    pictures.push({ value, edgeRight: topK(edge, 1)[0] === label, expertRight: topK(merged, 1)[0] === label });
  });
  return pictures;
}

const STEPS = 200;

/** What evenly spaced thresholds from 0 to 1 do: fixed before the pictures are seen, so that certificates may search them. */
export function curve(pictures: Picture[]): Point[] {
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const threshold = step / STEPS;
    const escalated = pictures.filter(({ value }) => value < threshold).length;
    const right = pictures.filter((p) => (p.value < threshold ? p.expertRight : p.edgeRight)).length;
    return { threshold, escalated, right };
  });
}

/** A share of k in n with its two-sided Clopper-Pearson interval. */
export function interval(k: number, n: number, delta: number): Interval {
  const round = (value: number) => Math.round(value * 1e4) / 1e4;
  return {
    value: round(k / n),
    low: round(lowerBound(k, n, delta / 2)),
    high: round(upperBound(k, n, delta / 2)),
  };
}
