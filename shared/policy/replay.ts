import type { CascadeView } from '../bundle/view.ts';
import { judge, mergeExpert } from './cascade.ts';
import { isSure } from './gate.ts';
import { topK } from './probabilities.ts';

/** What a bundle's models said of a picture, and what is in it. */
export interface Predicted {
  label: number;
  /** The logits [n] of a model, by its id. */
  logits(model: string): ArrayLike<number>;
}

/** What a cascade would have done with a picture. */
export interface Replayed {
  /** What the gate's measure gives. */
  value: number;
  /** The generalist's calibrated probabilities [n]. */
  edge: Float64Array;
  /** Whom it would have asked. */
  expert: string;
  /** Its threshold escalates the picture. */
  escalates: boolean;
  /** Whether the answer is right without the expert, and with it. */
  edgeRight: boolean;
  expertRight: boolean;
}

/** Gate, routing and merge on what models said before. `expertRight` is worked out when it is read. */
export function replay(cascade: CascadeView, { label, logits }: Predicted): Replayed {
  const { edge, value, candidates } = judge(cascade, logits(cascade.generalist.id));
  const expert = candidates[0]?.expert as string;
  return {
    value,
    edge,
    expert,
    escalates: !isSure(value, cascade.gate.threshold, cascade.gate.escalates),
    edgeRight: isRight(edge, label),
    get expertRight() {
      return isRight(mergeExpert(cascade, edge, expert, logits(expert)), label);
    },
  };
}

/** The most probable class is the picture's. */
export function isRight(probabilities: Float64Array, label: number): boolean {
  return topK(probabilities, 1)[0] === label;
}
