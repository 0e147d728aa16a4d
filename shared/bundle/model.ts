import { z } from 'zod';
import { BATCH, MAX_DIMENSIONS, MAX_TENSORS, TENSOR_NAME, tensorTypes } from '../wire/tensor.ts';
import { file, sha256 } from './fields.ts';

/** The name of a free dimension, whose length each run chooses. */
const free = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'a free dimension must be a lower-case name');

const length = z.number().int().positive();

const tensor = z.strictObject({
  type: z.enum(tensorTypes),
  shape: z
    .array(z.union([z.number().int().positive(), free]))
    .min(1)
    .max(MAX_DIMENSIONS),
});

/** Names of a graph's inputs or outputs: those that can travel. */
const tensorName = z.string().regex(TENSOR_NAME, 'a tensor has a name of letters, digits and . / : - _');

/** How a picture becomes an input, a square of 8-bit RGB pixels. */
const pictureRule = z.strictObject({
  /** Side of the square in pixels. */
  side: z.number().int().min(1).max(1024),
  fit: z.enum(['cover', 'fill', 'contain']),
  kernel: z.enum(['nearest', 'linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3']),
  background: z.array(z.number().int().min(0).max(255)).length(3),
  /** Values of the picture that become 0 and 255; no others are supported so far. */
  range: z.tuple([z.literal(0), z.literal(255)]).default([0, 255]),
  /** Side in pixels to which the graph resizes by itself. */
  networkSide: z.number().int().positive(),
  /** Per channel, of pixels in 0..1; the graph applies them by itself. */
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
});

/** A model: its file, its inputs and its outputs. */
export const modelSchema = z.strictObject({
  file,
  sha256,
  bytes: z.number().int().positive(),
  /** By the graph's names. At most one has a picture rule. */
  inputs: z
    .record(tensorName, tensor.extend({ picture: pictureRule.optional() }))
    .refine((inputs) => Object.keys(inputs).length > 0, 'declares no input')
    .refine((inputs) => Object.keys(inputs).length <= MAX_TENSORS, `declares more than ${MAX_TENSORS} inputs`),
  outputs: z
    .record(tensorName, tensor)
    .refine((outputs) => Object.keys(outputs).length > 0, 'declares no output')
    .refine((outputs) => Object.keys(outputs).length <= MAX_TENSORS, `declares more than ${MAX_TENSORS} outputs`),
  /** Bounds of each free dimension of the inputs but `batch`: what a run costs depends on them. */
  free: z.record(free, z.strictObject({ min: length, max: length })).optional(),
  precision: z.enum(['float32', 'int8']),
  parameters: z.number().int().positive(),
  figures: z.record(z.string(), z.number()),
  extra: z.record(z.string(), z.unknown()).optional(),
});

export type TensorSpec = z.infer<typeof tensor>;
export type PictureRule = z.infer<typeof pictureRule>;
export type ModelEntry = z.infer<typeof modelSchema>;

/** Finds contradictions between the fields of one model's entry. */
export function checkModel(model: ModelEntry, complain: (path: string[], message: string) => void): void {
  for (const [name, { shape }] of Object.entries(model.inputs)) {
    for (const side of shape) {
      if (typeof side === 'number' || side === BATCH) continue;
      const bounds = model.free?.[side];
      if (bounds === undefined) complain(['inputs', name], `the free dimension '${side}' has no bounds in 'free'`);
      else if (bounds.min > bounds.max) complain(['free', side], 'min must not exceed max');
    }
  }
  const pictures = Object.entries(model.inputs).filter(([, { picture }]) => picture);
  if (pictures.length > 1) complain(['inputs'], 'more than one says how a picture becomes it');
  for (const [name, { type, shape, picture }] of pictures) {
    const wanted = [BATCH, picture?.side, picture?.side, 3];
    if (type !== 'uint8' || shape.join() !== wanted.join()) {
      complain(['inputs', name], `a picture of this side becomes uint8 [${wanted.join(', ')}]`);
    }
  }
}
