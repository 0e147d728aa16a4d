import type { TensorSpec } from '../bundle/model.ts';
import type { Tensors } from '../wire/tensor.ts';
import { BATCH } from '../wire/tensor.ts';

/**
 * Why tensors cannot be a model's inputs for one item: a name, a type, a shape, or a free dimension with two lengths.
 * Undefined: they can.
 */
export function findMistake(tensors: Tensors, inputs: Record<string, TensorSpec>): string | undefined {
  for (const name of Object.keys(tensors)) {
    if (!Object.hasOwn(inputs, name)) return `there is no input '${name}', there are ${Object.keys(inputs).join(', ')}`;
  }
  const lengths = new Map([[BATCH, 1]]);
  for (const [name, { type, shape }] of Object.entries(inputs)) {
    const tensor = tensors[name];
    if (tensor === undefined) return `the input '${name}' is missing`;
    if (tensor.type !== type) return `the input '${name}' is ${tensor.type}, expected ${type}`;
    const fits =
      tensor.shape.length === shape.length && shape.every((side, i) => isLength(side, tensor.shape[i], lengths));
    if (!fits) return `the input '${name}' is [${tensor.shape}], expected [${shape}]`;
  }
  return undefined;
}

function isLength(side: number | string, length: number | undefined, lengths: Map<string, number>): boolean {
  if (length === undefined || typeof side === 'number') return side === length;
  const known = lengths.get(side) ?? length;
  lengths.set(side, known);
  return known === length;
}
