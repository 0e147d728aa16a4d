import type { Measure } from '../../../shared/bundle/cascade.ts';
import type { CascadeView } from '../../../shared/bundle/view.ts';
import { measures } from '../../../shared/policy/gate.ts';
import { UsageError } from '../usage.ts';
import type { Goal } from './choose.ts';
import { candidates, curve, type Point, replayAll } from './curve.ts';
import type { Predictions } from './predictions.ts';

/**
 * The gate's metric: the manifest's own, the one named, or with `best` the one that serves the goal best: fewest
 * escalations for an accuracy, else most right answers. `best` is chosen on the pictures that are not held out, so that
 * certificates on the held-out ones stay exact. Throws UsageError.
 */
export function chooseMetric(
  name: string | undefined,
  cascade: CascadeView,
  predictions: Predictions,
  goal: Goal,
): Measure {
  const { measure } = cascade.gate;
  const { scoring } = cascade.routing;
  const possible = (Object.keys(measures) as Measure[]).filter(
    (candidate) => candidate !== 'expected-gain' || scoring.method === candidate,
  );
  if (name === undefined) return measure;
  const named = possible.find((candidate) => candidate === name);
  if (named) return named;
  if (name !== 'best') throw new UsageError(`--metric ${name} is none of ${possible.join(', ')}, best`);

  const scores = possible.map((candidate) => {
    const pictures = replayAll({ ...cascade, gate: { ...cascade.gate, measure: candidate } }, predictions, false);
    return score(curve(pictures, candidates(pictures)), pictures.length, goal);
  });
  return possible[scores.indexOf(Math.max(...scores))] ?? measure;
}

/** Higher is better. If no point reaches the accuracy, the most accurate counts. */
function score(points: Point[], n: number, { accuracy, escalation = 1 }: Goal): number {
  const allowed = points.filter(({ escalated }) => escalated <= escalation * n);
  const most = Math.max(0, ...allowed.map(({ right }) => right));
  const reached = accuracy === undefined ? [] : allowed.filter(({ right }) => right >= accuracy * n);
  if (reached.length === 0) return most;
  return 2 * n - Math.min(...reached.map(({ escalated }) => escalated));
}
