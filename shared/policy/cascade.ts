import type { CascadeView, Member } from '../bundle/view.ts';
import type { Candidate } from './candidate.ts';
import { mergeLogLinear } from './merge.ts';
import { softmax } from './probabilities.ts';
import { decideRouting } from './routing.ts';

/** A cascade's judgement of the generalist's logits. */
export interface Judgement {
  /** The generalist's calibrated probabilities [n]. */
  edge: Float64Array;
  /** The value of the gate's measure. */
  value: number;
  /** Best first; never empty. */
  candidates: Candidate[];
}

/** The generalist's logits [n] -> its probabilities, the gate's value, and the experts to ask. */
export function judge(cascade: CascadeView, logits: ArrayLike<number>): Judgement {
  const edge = softmax(logits, cascade.generalist.temperature);
  return { edge, ...decideRouting(edge, cascade) };
}

/** The answer's probabilities [n], from the generalist's probabilities and the asked expert's logits [n]. */
export function mergeExpert(
  { experts, routing }: CascadeView,
  edge: Float64Array,
  expert: string,
  logits: ArrayLike<number>,
): Float64Array {
  const { temperature } = experts.find(({ id }) => id === expert) as Member;
  return mergeLogLinear(edge, softmax(logits, temperature), routing.merge);
}
