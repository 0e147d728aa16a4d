import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, loadBundle } from '../../shared/bundle/load.ts';
import { type CascadeView, viewCascade } from '../../shared/bundle/view.ts';
import { decodePicture } from '../../shared/imaging/codec.ts';
import { LARGEST_GOLDEN_ERROR, relativeError } from '../../shared/inference/golden.ts';
import { InferencePool } from '../../shared/inference/pool.ts';
import { type RunnableModel, toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import { createLog } from '../../shared/observe/log.ts';

const directory = 'models/default';

interface Golden {
  /** Pictures of exactly the models' input size, base64 PNG. */
  png: string[];
  /** Logits of each model on them: PyTorch's in float32, and onnxruntime's (Python) of the file that is served. */
  models: Record<string, { torch: number[][]; served: number[][] }>;
  /** A picture that must be cropped and shrunk, and the pixels that Pillow makes of it by the manifest's rule. */
  photo: { png: string; pixels: string };
}

let bundle: Bundle;
let cascade: CascadeView;
let golden: Golden;
let pool: InferencePool;
let models: RunnableModel[];
beforeAll(async () => {
  bundle = await loadBundle(directory);
  golden = JSON.parse(await readFile(`${directory}/golden.json`, 'utf8'));
  cascade = viewCascade(bundle.manifest);
  models = [cascade.generalist, ...cascade.experts].map(({ id }) => toRunnable(bundle, id));
  pool = new InferencePool({
    workers: 1,
    threads: 1,
    queueLimit: 9,
    memoryBytes: 1e9,
    log: createLog('silent', 'test'),
  });
});
afterAll(() => pool.stop());

const decode = (png: string) => decodePicture(Buffer.from(png, 'base64'), cascade.generalist.rule, 1e6);

describe('parity: the committed bundle gives what training recorded', () => {
  test('for every model, on every golden picture, from PNG to logits', async () => {
    expect(Object.keys(golden.models).sort()).toEqual(models.map(({ id }) => id).sort());
    for (const model of models) {
      const recorded = golden.models[model.id] as Golden['models'][string];
      const errors: number[] = [];
      for (const [i, png] of golden.png.entries()) {
        const { pixels } = await decode(png);
        const { outputs } = await pool.run(model, toInputs(model, pixels));
        const where = `${model.id}, picture ${i}`;
        const logits = outputs.logits?.data as Float32Array;
        const error = relativeError(logits, recorded.served[i] as number[]);
        expect(error, `${where}: onnxruntime in Python`).toBeLessThan(LARGEST_GOLDEN_ERROR);
        expect(relativeError(logits, recorded.torch[i] as number[]), `${where}: PyTorch`).toBeLessThan(0.1);
        errors.push(error);
      }
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
      expect(mean, `${model.id}: onnxruntime in Python, mean`).toBeLessThan(LARGEST_GOLDEN_ERROR / 2);
    }
  });

  test('the generalist also gives its attention: one weight per patch, all but the CLS token’s own share of 1', async () => {
    const [generalist] = models as [RunnableModel];
    const { pixels } = await decode(golden.png[0] as string);
    const attention = (await pool.run(generalist, toInputs(generalist, pixels))).outputs.attention
      ?.data as Float32Array;
    const patches = (cascade.generalist.rule.networkSide / 16) ** 2;
    expect(attention).toHaveLength(patches);
    const sum = attention.reduce((total, weight) => total + weight, 0);
    expect(Math.min(...attention)).toBeGreaterThanOrEqual(0);
    expect(sum).toBeGreaterThan(0.3);
    expect(sum).toBeLessThan(1);
  });

  test('a picture of another size and shape becomes the same pixels as in training', async () => {
    const { pixels } = await decode(golden.photo.png);
    const expected = Buffer.from(golden.photo.pixels, 'base64');
    expect(pixels.length).toBe(expected.length);
    const differences = Array.from(pixels, (value, i) => Math.abs(value - (expected[i] as number)));
    expect(differences.reduce((sum, value) => sum + value, 0) / differences.length).toBeLessThan(1.5);
    expect(Math.max(...differences)).toBeLessThan(16);
  });

  /** Training is held to the same file; in it are pictures of which no even number of pixels is left over. */
  test('pictures of odd sizes are framed as in training', async () => {
    const framing: Golden['photo'][] = JSON.parse(await readFile('test/parity/framing.json', 'utf8'));
    expect(framing).toHaveLength(3);
    for (const { png, pixels } of framing) {
      const found = (await decode(png)).pixels;
      const expected = Buffer.from(pixels, 'base64');
      expect(Math.max(...Array.from(found, (value, i) => Math.abs(value - (expected[i] as number))))).toBeLessThan(4);
    }
  });
});
