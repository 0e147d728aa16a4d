import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestV1 } from '../../shared/bundle/manifest-v1.ts';

export interface MadePicture {
  label: number;
  held: boolean;
  /** Which picture of the training data it is; kept if all have one. */
  row?: number;
  /** Logits of each model, by its id. */
  logits: Record<string, number[]>;
}

/** Writes `validation.safetensors` as training does, of the weights that the bundle's manifest names. */
export async function writePredictions(directory: string, pictures: MadePicture[]): Promise<void> {
  const manifest: ManifestV1 = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8'));
  const models = [manifest.generalist, ...manifest.experts];
  const digests = Object.fromEntries(models.map(({ id, sha256 }) => [id, sha256]));
  const tensors = new Map<string, { dtype: string; shape: number[]; bytes: Uint8Array }>();
  const n = pictures.length;
  const bytesOf = (values: Uint16Array | Uint32Array | Float16Array) => new Uint8Array(values.buffer);
  for (const { id } of models) {
    const values = Float16Array.from(pictures.flatMap(({ logits }) => logits[id] as number[]));
    tensors.set(id, { dtype: 'F16', shape: [n, manifest.labels.length], bytes: bytesOf(values) });
  }
  const labels = Uint16Array.from(pictures, ({ label }) => label);
  tensors.set('labels', { dtype: 'U16', shape: [n], bytes: bytesOf(labels) });
  tensors.set('held', { dtype: 'U8', shape: [n], bytes: Uint8Array.from(pictures, ({ held }) => Number(held)) });
  if (pictures.every(({ row }) => row !== undefined)) {
    const rows = Uint32Array.from(pictures, ({ row }) => row as number);
    tensors.set('rows', { dtype: 'U32', shape: [n], bytes: bytesOf(rows) });
  }
  const header: Record<string, unknown> = { __metadata__: { models: JSON.stringify(digests) } };
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const values = Array.from(tensors.values(), ({ bytes }) => bytes);
  await writeFile(join(directory, 'validation.safetensors'), Buffer.concat([length, json, ...values]));
}

/** Repeatable numbers in 0..1 (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
