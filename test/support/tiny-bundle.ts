import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Manifest } from '../../shared/bundle/manifest.ts';
import type { ManifestV1, ModelEntryV1 } from '../../shared/bundle/manifest-v1.ts';
import { upgrade } from '../../shared/bundle/upgrade.ts';
import { buildTinyOnnx, type TinyModel, tinyLogits } from './tiny-onnx.ts';

/**
 * A bundle whose answers tests can foresee. Labels red, green, blue, grey; expert `warm` owns red and grey, `cold`
 * owns green and blue. The generalist is sure of strong colours and unsure of weak ones; each expert puts 'grey' and
 * 'blue' respectively first, whatever it sees, so that an expert's voice is heard in the answer.
 */
export const LABELS = ['red', 'green', 'blue', 'grey'];
export const SIZE = 8;

const generalist: TinyModel = {
  rows: [
    [0.1, -0.05, -0.05, 0],
    [-0.05, 0.1, -0.05, 0],
    [-0.05, -0.05, 0.1, 0],
    [0, 0, 0, 0.1],
  ],
  attention: true,
};
const always = (label: number): TinyModel => ({
  rows: LABELS.map((_, i) => [0, 0, 0, i === label ? 9 : 0]),
});

type Id = 'generalist' | 'warm' | 'cold';

/** As training writes it. */
export interface TinyGolden {
  png: string[];
  models: Record<Id, { served: number[][] }>;
}

export interface TinyOptions {
  models?: Partial<Record<Id, TinyModel>>;
  change?: (manifest: ManifestV1) => void;
  /** Alters the manifest in version 2, and writes more files into the bundle. Default: it stays in version 1. */
  extend?: (manifest: Manifest, write: WriteFile) => Promise<void> | void;
  /** Alters the golden inputs; null: there are none. Default: what the models say, by their ids after `change`. */
  golden?: ((golden: TinyGolden) => void) | null;
}

/** What a manifest says of a file that was written. */
export type WriteFile = (file: string, bytes: Buffer) => Promise<{ file: string; sha256: string; bytes: number }>;

export interface TinyBundle {
  directory: string;
  remove(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function makeTinyBundle(options: TinyOptions = {}): Promise<TinyBundle> {
  const directory = await mkdtemp(join(tmpdir(), 'ask-bundle-'));
  const models = { generalist, warm: always(3), cold: always(2), ...options.models };
  const write: WriteFile = async (file, content) => {
    await writeFile(join(directory, file), content);
    return { file, sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length };
  };
  const entry = async (id: Id, classes: number[]): Promise<ModelEntryV1> => {
    const bytes = buildTinyOnnx(SIZE, models[id]);
    return {
      id,
      ...(await write(`${id}.onnx`, bytes)),
      inputSize: SIZE,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      outputs: models[id].attention ? { logits: LABELS.length, attention: 3 } : { logits: LABELS.length },
      classes,
      temperature: 1,
      precision: 'float32',
      parameters: 16,
      figures: { validationAccuracy: 0.5 },
    };
  };
  const manifest: ManifestV1 = {
    schemaVersion: 1,
    name: 'tiny',
    labels: [...LABELS],
    input: { size: SIZE, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] },
    generalist: await entry('generalist', [0, 1, 2, 3]),
    experts: [await entry('warm', [0, 3]), await entry('cold', [1, 2])],
    routing: {
      k: 2,
      scoring: { method: 'top-k-mass' },
      metric: 'max-probability',
      threshold: 0.9,
      classToExpert: ['warm', 'cold', 'cold', 'warm'],
      merge: { method: 'log-linear', generalistWeight: 0, expertWeight: 1 },
      encoding: { format: 'rgb8' },
    },
    provenance: { made: 'by the test' },
  };
  const entries = [manifest.generalist, ...manifest.experts];
  options.change?.(manifest);
  if (options.golden !== null) {
    const inOrder = [models.generalist, models.warm, models.cold];
    const golden = await makeGolden(entries.map(({ id }, i) => [id, inOrder[i] as TinyModel]));
    options.golden?.(golden);
    manifest.golden ??= await writeGolden(golden, write);
  }
  const newest = options.extend && upgrade(manifest);
  if (newest) await options.extend?.(newest, write);
  await writeFile(join(directory, 'manifest.json'), JSON.stringify(newest ?? manifest));
  const remove = () => rm(directory, { recursive: true, force: true });
  return { directory, remove, [Symbol.asyncDispose]: remove };
}

async function writeGolden(golden: TinyGolden, write: WriteFile): Promise<{ file: string; sha256: string }> {
  const { bytes: _, ...named } = await write('golden.json', Buffer.from(JSON.stringify(golden)));
  return named;
}

async function makeGolden(models: [id: string, model: TinyModel][]): Promise<TinyGolden> {
  const colours: [number, number, number][] = [
    [200, 40, 90],
    [30, 120, 220],
  ];
  const png = colours.map(async (colour) => (await flatPng(colour, SIZE, SIZE)).toString('base64'));
  const outputs = models.map(([id, model]) => {
    return [id, { served: colours.map((colour) => tinyLogits(model, colour)) }] as const;
  });
  return { png: await Promise.all(png), models: Object.fromEntries(outputs) as TinyGolden['models'] };
}

/** A flat PNG. [255, 0, 0] makes the generalist sure of red; [130, 120, 120] unsure, and `warm` is asked. */
export function flatPng(colour: [number, number, number], width = 32, height = 32): Promise<Buffer> {
  const [r, g, b] = colour;
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } })
    .png()
    .toBuffer();
}

export const SURE_RED: [number, number, number] = [250, 10, 10];
export const UNSURE_WARM: [number, number, number] = [126, 120, 120];
export const UNSURE_COLD: [number, number, number] = [118, 120, 127];
