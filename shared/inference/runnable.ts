import { join } from 'node:path';
import { pictureInput } from '../bundle/inputs.ts';
import type { Bundle } from '../bundle/load.ts';
import type { ModelEntry, TensorSpec } from '../bundle/model.ts';
import { BATCH, type Tensors, tensorArrays } from '../wire/tensor.ts';

/** What a model process needs to know about a model. */
export interface RunnableModel {
  id: string;
  path: string;
  /** Size and digest that the file must have when it is loaded. */
  bytes: number;
  sha256: string;
  inputs: Record<string, TensorSpec>;
  outputs: Record<string, TensorSpec>;
  free: ModelEntry['free'];
  /** The input that takes a picture, and the side of its square; undefined: the model takes tensors alone. */
  picture: { name: string; side: number } | undefined;
}

// Onnxruntime keeps packed copies of the weights beside the file's: resident memory grows by about this factor.
const MEMORY_PER_FILE_BYTE = 2.5;

/** Estimates the memory of a model's session from the size of its file. */
export function sessionMemory(fileBytes: number): number {
  return Math.ceil(fileBytes * MEMORY_PER_FILE_BYTE);
}

/** Describes a bundle's model for the pool, whose processes check the file as they load it. */
export function toRunnable({ directory, manifest }: Bundle, id: string): RunnableModel {
  const model = manifest.models[id] as ModelEntry;
  const { file, bytes, sha256, outputs, free } = model;
  const inputs = Object.fromEntries(
    Object.entries(model.inputs).map(([name, { type, shape }]) => [name, { type, shape }]),
  );
  const input = pictureInput(model);
  const picture = input && { name: input.name, side: input.rule.side };
  return { id, path: join(directory, file), bytes, sha256, inputs, outputs, free, picture };
}

/** The inputs for a picture: a square of 8-bit RGB of the model's side. */
export function toInputs({ id, picture }: RunnableModel, pixels: Uint8Array): Tensors {
  if (picture === undefined) throw new Error(`model ${id} takes no picture`);
  return { [picture.name]: { type: 'uint8', shape: [1, picture.side, picture.side, 3], data: pixels } };
}

/** Inputs of zeros, for a run whose answer does not matter: `count` items, other free dimensions as long as allowed. */
export function blank({ inputs, free }: RunnableModel, count = 1): Tensors {
  const lengthOf = (side: string) => (side === BATCH ? count : (free?.[side]?.max ?? 1));
  return Object.fromEntries(
    Object.entries(inputs).map(([name, spec]) => {
      const shape = spec.shape.map((side) => (typeof side === 'number' ? side : lengthOf(side)));
      const length = shape.reduce((product, side) => product * side, 1);
      return [name, { type: spec.type, shape, data: new tensorArrays[spec.type](length) }];
    }),
  );
}

/** Whether items can run together: all inputs and outputs begin with the batch dimension. */
export function isBatched({ inputs, outputs }: RunnableModel): boolean {
  return [...Object.values(inputs), ...Object.values(outputs)].every(({ shape }) => shape[0] === BATCH);
}
