import { BATCH } from '../wire/tensor.ts';
import type { ModelEntry, PictureRule } from './model.ts';

/** The input that takes a picture, and its rule; undefined: the model takes tensors alone. */
export function pictureInput(model: ModelEntry): { name: string; rule: PictureRule } | undefined {
  for (const [name, { picture }] of Object.entries(model.inputs)) if (picture) return { name, rule: picture };
  return undefined;
}

/** Length of an output whose shape is [batch, length]; undefined for another shape or no such output. */
export function outputLength(model: ModelEntry, name: string): number | undefined {
  const [first, length, ...others] = model.outputs[name]?.shape ?? [];
  return first === BATCH && typeof length === 'number' && others.length === 0 ? length : undefined;
}
