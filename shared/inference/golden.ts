import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BundleError } from '../bundle/bundle-error.ts';
import { outputLength, pictureInput } from '../bundle/inputs.ts';
import type { Bundle } from '../bundle/load.ts';
import type { ModelEntry } from '../bundle/model.ts';
import { decodePicture } from '../imaging/codec.ts';
import type { Log } from '../observe/log.ts';
import type { InferencePool } from './pool.ts';
import { type RunnableModel, toInputs } from './runnable.ts';

/** Golden pictures that are run before serving: each costs every model one run. */
const PICTURES = 2;

/**
 * Largest accepted error of logits against those that training recorded. Processors add in different orders. In an
 * 8-bit network one rounding that goes the other way changes everything after it: up to 0.05 between x86-64 (VNNI,
 * AVX2, SSE) and ARM, for the default bundle, whose experts are at least 0.14 apart.
 */
export const LARGEST_GOLDEN_ERROR = 0.1;

const goldenSchema = z.object({
  /** Pictures of exactly the models' input size, base64. */
  png: z.array(z.string()).min(1),
  /** Logits of each model, by its id, on each picture, computed by onnxruntime on the exporting machine. */
  models: z.record(z.string(), z.object({ served: z.array(z.array(z.number())) })),
});

interface Golden {
  path: string;
  /** The first pictures, as files. */
  pictures: Buffer[];
  models: z.infer<typeof goldenSchema>['models'];
}

/**
 * Loads and warms the models in every process of the pool, on the bundle's golden pictures. Logits other than those
 * that training recorded mean that weights, runtime or hardware cannot be trusted. A bundle without golden pictures is
 * warmed on a blank one, with a warning. Throws BundleError naming the model.
 */
export async function warmGolden(pool: InferencePool, models: RunnableModel[], bundle: Bundle, log: Log) {
  const golden = await readGolden(bundle);
  if (golden === undefined) {
    log.warn({ models: models.map(({ id }) => id) }, 'the bundle has no golden inputs: its models start unchecked');
  }
  for (const model of models) {
    try {
      if (golden === undefined) await pool.warm(model);
      else await check(pool, model, golden, bundle, log);
    } catch (error) {
      throw error instanceof BundleError ? error : new BundleError((error as Error).message, { cause: error });
    }
  }
}

/** Root mean square of the difference, relative to that of `expected`. */
export function relativeError(actual: ArrayLike<number>, expected: number[]): number {
  let difference = 0;
  let size = 0;
  expected.forEach((value, i) => {
    difference += ((actual[i] as number) - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
}

async function check(
  pool: InferencePool,
  model: RunnableModel,
  golden: Golden,
  { manifest }: Bundle,
  log: Log,
): Promise<void> {
  const { path, pictures, models } = golden;
  const entry = manifest.models[model.id] as ModelEntry;
  const count = outputLength(entry, 'logits');
  const rule = pictureInput(entry)?.rule;
  if (count === undefined || rule === undefined) {
    log.warn({ model: model.id }, 'golden pictures say nothing of this model: it starts unchecked');
    await pool.warm(model);
    return;
  }
  for (const [i, picture] of pictures.entries()) {
    const expected = models[model.id]?.served[i] ?? [];
    if (expected.length !== count) {
      throw new BundleError(`model ${model.id}: ${path} lacks its ${count} logits for picture ${i}`);
    }
    const { pixels } = await decodePicture(picture, rule, rule.side ** 2).catch((error: Error) => {
      throw new BundleError(`${path} cannot be used: ${error.message}`, { cause: error });
    });
    for (const { outputs } of await pool.warm(model, toInputs(model, pixels))) {
      const error = relativeError(outputs.logits?.data as Float32Array, expected);
      if (error <= LARGEST_GOLDEN_ERROR) continue; // NaN fails too
      const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
      throw new BundleError(
        `model ${model.id}: its logits for picture ${i} of ${path} deviate by ${percent(error)} from the recorded ones, ` +
          `at most ${percent(LARGEST_GOLDEN_ERROR)} is accepted`,
      );
    }
  }
}

async function readGolden({ directory, manifest }: Bundle): Promise<Golden | undefined> {
  if (manifest.golden === undefined) return undefined;
  const path = join(directory, manifest.golden.file);
  try {
    const bytes = await readFile(path);
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (digest !== manifest.golden.sha256) {
      throw new BundleError(`${path} has sha256 ${digest}, the manifest says ${manifest.golden.sha256}`);
    }
    const { png, models } = goldenSchema.parse(JSON.parse(bytes.toString('utf8')));
    return { path, pictures: png.slice(0, PICTURES).map((base64) => Buffer.from(base64, 'base64')), models };
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError(`${path} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
