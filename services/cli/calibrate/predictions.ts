import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BundleError } from '../../../shared/bundle/bundle-error.ts';
import type { Bundle } from '../../../shared/bundle/load.ts';
import { viewCascade } from '../../../shared/bundle/view.ts';

export const FILE = 'validation.safetensors';

const tensorSchema = z.object({
  dtype: z.enum(['F16', 'U32', 'U16', 'U8']),
  shape: z.array(z.number().int().min(0)),
  data_offsets: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
});
const bytesPerValue = { F16: 2, U32: 4, U16: 2, U8: 1 };

/** The predictions of the bundle's models for the validation pictures. */
export interface Predictions {
  labels: Uint16Array;
  /** 1 for held-out pictures, which fitted nothing and can certify an operating point; 0 for the others. */
  held: Uint8Array;
  /** Their rows in the training data; undefined in bundles made before rows were kept. */
  rows: Uint32Array | undefined;
  /** Logits [pictures][classes] of each model, by its id. */
  logits: Map<string, Float32Array[]>;
}

/**
 * Reads the predictions that training stored beside the weights (safetensors; training/ask_training/export/bundle.py).
 * Throws BundleError if they are missing, broken, or made by other weights than the manifest's.
 */
export async function readPredictions(bundle: Bundle): Promise<Predictions> {
  const path = join(bundle.directory, FILE);
  const file = await readFile(path).catch((error: Error) => {
    throw new BundleError(`${path} cannot be read: ${error.message}; the training step 'bundle' writes it`);
  });
  const { tensors, digests } = parse(file, path);
  const classes = bundle.manifest.labels.length;
  const take = (name: string, shape: number[]) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new BundleError(`${path}: there is no tensor '${name}'`);
    if (tensor.shape.join() !== shape.join()) {
      throw new BundleError(`${path}: tensor '${name}' has shape ${tensor.shape}, expected ${shape}`);
    }
    return tensor.bytes;
  };
  const count = tensors.get('labels')?.shape[0] ?? 0;
  const labels = new Uint16Array(take('labels', [count]));
  if (labels.some((label) => label >= classes))
    throw new BundleError(`${path}: a label exceeds the ${classes} classes`);
  const held = new Uint8Array(take('held', [count]));
  const rows = tensors.has('rows') ? new Uint32Array(take('rows', [count])) : undefined;
  const logits = new Map<string, Float32Array[]>();
  const { generalist, experts } = viewCascade(bundle.manifest);
  for (const { id, model } of [generalist, ...experts]) {
    const { sha256 } = model;
    const digest = digests[id];
    if (digest !== sha256) {
      throw new BundleError(`${path}: predictions of '${id}' are of weights ${digest}, the manifest has ${sha256}`);
    }
    const values = Float32Array.from(new Float16Array(take(id, [count, classes])));
    logits.set(
      id,
      Array.from({ length: count }, (_, i) => values.subarray(i * classes, (i + 1) * classes)),
    );
  }
  return { labels, held, rows, logits };
}

interface Tensor {
  shape: number[];
  bytes: ArrayBuffer;
}

/** Parses a safetensors file: the header's length in 8 bytes, the header as JSON, the values (little-endian). */
function parse(file: Buffer, path: string): { tensors: Map<string, Tensor>; digests: Record<string, string> } {
  try {
    const length = Number(file.readBigUInt64LE(0));
    const header: Record<string, unknown> = JSON.parse(file.subarray(8, 8 + length).toString('utf8'));
    const { models } = z.object({ models: z.string() }).parse(header.__metadata__);
    const digests = z.record(z.string(), z.string()).parse(JSON.parse(models));
    const tensors = new Map<string, Tensor>();
    for (const [name, value] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      const { dtype, shape, data_offsets } = tensorSchema.parse(value);
      const [begin, end] = data_offsets.map((offset) => 8 + length + offset) as [number, number];
      const wanted = shape.reduce((product, side) => product * side, bytesPerValue[dtype]);
      if (end > file.length || end - begin !== wanted) throw new Error(`tensor '${name}' is cut short`);
      tensors.set(name, { shape, bytes: new Uint8Array(file.subarray(begin, end)).buffer });
    }
    return { tensors, digests };
  } catch (error) {
    throw new BundleError(`${path} is not a usable safetensors file: ${(error as Error).message}`, { cause: error });
  }
}
