import type { ModelEntry, TensorSpec } from '../bundle/model.ts';
import { BATCH, fitsShape, type Tensors } from '../wire/tensor.ts';

/**
 * Why tensors cannot be a model's inputs, one item of them: a name, a type, a shape, a free dimension that has two
 * lengths or one out of bounds, or values that do not fill the shape. Undefined: they can.
 */
export function findMistake(
  tensors: Tensors,
  { inputs, free }: { inputs: Record<string, TensorSpec>; free?: ModelEntry['free'] },
): string | undefined {
  for (const name of Object.keys(tensors)) {
    if (!Object.hasOwn(inputs, name)) return `there is no input '${name}', there are ${Object.keys(inputs).join(', ')}`;
  }
  const lengths = new Map([[BATCH, 1]]);
  for (const [name, { type, shape }] of Object.entries(inputs)) {
    const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    if (tensor === undefined) return `the input '${name}' is missing`;
    if (tensor.type !== type) return `the input '${name}' is ${tensor.type}, expected ${type}`;
    if (!fitsShape(tensor.shape, shape, lengths))
      return `the input '${name}' is [${tensor.shape}], expected [${shape}]`;
    const values = tensor.shape.reduce((product, side) => product * side, 1);
    if (values !== tensor.data.length)
      return `the input '${name}' has ${tensor.data.length} values, expected ${values}`;
  }
  for (const [name, { min, max }] of Object.entries(free ?? {})) {
    const length = lengths.get(name);
    if (length !== undefined && (length < min || length > max))
      return `'${name}' is ${length}, expected ${min} to ${max}`;
  }
  return undefined;
}
