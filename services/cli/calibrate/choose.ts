import { certainlyAtLeast, certainlyAtMost, lowerBound, upperBound } from './binomial.ts';
import type { Point } from './curve.ts';

export interface Goal {
  /** Lowest accepted accuracy of the whole system. */
  accuracy?: number;
  /** Largest share of pictures that may be escalated. */
  escalation?: number;
}

type Choice = { point: Point } | { unmet: string };

/**
 * The point of the curve (in order of rising threshold, over n pictures) that meets the goal with probability at least
 * 1 - delta over the draw of the n pictures, for every n and whatever their distribution.
 *
 * An escalation limit is checked with the exact binomial upper bound of each point's escalation; the bound is 0 at
 * threshold 0, below which no value lies. Since escalation only grows along the curve, the first failure ends the
 * search. An accuracy is checked by fixed-sequence testing (Bauer 1991; for risk control: Angelopoulos et al., "Learn
 * then Test", arXiv:2110.01052) with the exact binomial lower bound: from the point of the greatest expected accuracy
 * whose expected escalation is allowed, downwards; the last point before the first failure is taken. The bound is exact
 * since right or wrong is 0 or 1. Conformal risk control would bound the mean over calibrations alone, and needs a risk
 * that never rises with escalation, which is not guaranteed. With both goals each gets half of delta.
 */
export function choose(points: Point[], n: number, goal: Goal, delta: number): Choice {
  const { accuracy, escalation } = goal;
  const part = accuracy !== undefined && escalation !== undefined ? delta / 2 : delta;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

  let allowed = points;
  if (escalation !== undefined) {
    const over = points.findIndex(
      (point) => point.threshold > 0 && !certainlyAtMost(escalation, point.escalated, n, part),
    );
    allowed = over === -1 ? points : points.slice(0, over);
  }
  if (accuracy === undefined) return { point: mostAccurate(allowed) };

  // The start of the sequence must not depend on the held-out pictures.
  const within = points.filter(({ expected }) => expected.escalated <= (escalation ?? 1));
  const best = Math.max(...within.map(({ expected }) => expected.right));
  const first = within.findLastIndex(({ expected }) => expected.right === best);
  const sequence = within.slice(0, first + 1).reverse();
  const failure = sequence.findIndex((point) => !certainlyAtLeast(accuracy, point.right, n, part));
  const point = failure === -1 ? sequence.at(-1) : sequence[failure - 1];
  if (point === undefined) {
    const { right, escalated } = sequence[0] as Point;
    const reached = `${percent(right / n)} right with ${percent(escalated / n)} escalated`;
    return {
      unmet: `${reached} certifies an accuracy of ${percent(lowerBound(right, n, part))}, ${percent(accuracy)} is asked for`,
    };
  }
  if (!allowed.includes(point)) {
    const most = percent(upperBound(point.escalated, n, part));
    return {
      unmet: `that accuracy is certified with up to ${most} escalated, at most ${percent(escalation ?? 1)} is asked for`,
    };
  }
  return { point };
}

/** Of equally accurate points, the one that escalates least. */
function mostAccurate(points: Point[]): Point {
  return points.reduce((best, point) => (point.right > best.right ? point : best));
}
