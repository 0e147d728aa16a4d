import { z } from 'zod';
import { calibrationSchema, encodingSchema, encodingsSchema, measure, mergeSchema, scoringSchema } from './cascade.ts';
import { classes, file, id, sha256, share } from './fields.ts';

const modelSchema = z.object({
  id,
  file,
  sha256,
  bytes: z.number().int().positive(),
  /** Side in pixels of the square the network works on; the graph resizes to it by itself. */
  inputSize: z.number().int().positive(),
  /** Per channel, of pixels in 0..1; the graph applies them by itself. */
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  /** Length of each output vector, by name; `logits` is always there. */
  outputs: z.object({ logits: z.number().int().positive() }).catchall(z.number().int().positive()),
  /** The classes the model was trained for; its logits may cover more. */
  classes,
  /** Divides the logits before the softmax (Guo et al., arXiv:1706.04599). */
  temperature: z.number().positive(),
  precision: z.enum(['float32', 'int8']),
  parameters: z.number().int().positive(),
  figures: z.record(z.string(), z.number()),
});

const routingSchema = z.object({
  /** How many of the generalist's predictions vote for experts. */
  k: z.number().int().positive(),
  scoring: scoringSchema.default({ method: 'top-k-mass' }),
  /** The measure that decides; `expected-gain` needs the scoring of that name. */
  metric: measure,
  /** An answer whose metric is below it is escalated. */
  threshold: share,
  /** For each class, the expert that owns it. */
  classToExpert: z.array(id),
  merge: mergeSchema,
  /** The caller's own file is sent instead if it is smaller. */
  encoding: encodingSchema.default({ format: 'rgb8' }),
});

/**
 * `manifest.json` of a bundle of version 1. Contradictions between its parts are found after the upgrade to version 2.
 */
export const manifestV1Schema = z.object({
  schemaVersion: z.literal(1),
  name: z.string().min(1),
  labels: z.array(z.string().min(1)).min(2),
  /** The input of every model of the bundle: a square of 8-bit RGB pixels, and how a picture becomes one. */
  input: z.object({
    size: z.number().int().min(1).max(1024),
    fit: z.enum(['cover', 'fill', 'contain']),
    kernel: z.enum(['nearest', 'linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3']),
    background: z.array(z.number().int().min(0).max(255)).length(3),
  }),
  generalist: modelSchema,
  experts: z.array(modelSchema),
  /** Pictures, and the logits of every model when it was exported; see `golden.ts`. */
  golden: z.object({ file, sha256 }).optional(),
  routing: routingSchema,
  calibration: calibrationSchema.optional(),
  encodings: encodingsSchema.optional(),
  provenance: z.record(z.string(), z.unknown()),
});

export type ModelEntryV1 = z.infer<typeof modelSchema>;
export type ManifestV1 = z.infer<typeof manifestV1Schema>;
