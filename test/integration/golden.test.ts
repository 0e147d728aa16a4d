import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BundleError } from '../../shared/bundle/bundle-error.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { warmGolden } from '../../shared/inference/golden.ts';
import { InferencePool } from '../../shared/inference/pool.ts';
import { blank, toRunnable } from '../../shared/inference/runnable.ts';
import { createLog } from '../../shared/observe/log.ts';
import { flatPng, makeTinyBundle, SIZE, type TinyOptions } from '../support/tiny-bundle.ts';

/** Warms all models of a tiny bundle; the message of the error that stops it, or `undefined`. */
async function warm(options: TinyOptions, spoil?: (directory: string) => Promise<void>): Promise<string | undefined> {
  await using files = await makeTinyBundle(options);
  await spoil?.(files.directory);
  const bundle = await loadBundle(files.directory);
  const log = createLog('silent', 'test');
  await using pool = new InferencePool({ workers: 2, threads: 1, queueLimit: 100, log });
  const models = [...bundle.here, ...bundle.there].map((id) => toRunnable(bundle, id));
  const error = await warmGolden(pool, models, bundle, log).catch((thrown: Error) => thrown);
  if (error === undefined) {
    for (const model of models) {
      const runs = await Promise.all([1, 2].map(() => pool.run(model, blank(model))));
      expect(runs.map(({ loaded }) => loaded)).toEqual([false, false]);
    }
    return undefined;
  }
  expect(error).toBeInstanceOf(BundleError);
  return error.message.replaceAll(files.directory, '');
}

describe('golden inputs: models are warmed in every process', () => {
  test('with golden inputs that they answer as recorded', async () => {
    expect(await warm({})).toBeUndefined();
  });

  test('with golden inputs that they answer almost as recorded', async () => {
    const golden: TinyOptions['golden'] = ({ models }) => {
      models.warm.served = models.warm.served.map((logits) => logits.map((value) => 1.09 * value));
    };
    expect(await warm({ golden })).toBeUndefined();
  });

  test('without golden inputs', async () => {
    expect(await warm({ golden: null })).toBeUndefined();
  });
});

describe('golden inputs: a model that answers otherwise is refused by name, with the error', () => {
  test('on the first picture', async () => {
    const golden: TinyOptions['golden'] = ({ models }) => {
      models.warm.served = models.cold.served;
    };
    expect(await warm({ golden })).toBe(
      'model warm: its logits for picture 0 of /golden.json deviate by 141.4 % from the recorded ones, at most 10.0 % is accepted',
    );
  });

  test('on the second alone', async () => {
    const golden: TinyOptions['golden'] = ({ models }) => {
      models.generalist.served[1] = (models.generalist.served[1] as number[]).map((value) => 1.2 * value);
    };
    expect(await warm({ golden })).toMatch(/^model generalist: its logits for picture 1 .* deviate by 16\.7 %/);
  });

  test('with what is no number', async () => {
    const models = { cold: { rows: [0, 1, 2, 3].map((): [number, number, number, number] => [0, 0, 0, Number.NaN]) } };
    const golden: TinyOptions['golden'] = ({ models: { cold } }) => {
      cold.served = cold.served.map(() => [0, 1, 2, 3]);
    };
    expect(await warm({ models, golden })).toMatch(/^model cold: .* deviate by NaN %/);
  });
});

describe('golden inputs: unusable ones are refused by the name of their file', () => {
  const path = (directory: string) => join(directory, 'golden.json');

  test('changed after the manifest was written', async () => {
    const spoil = (directory: string) => writeFile(path(directory), '{}');
    expect(await warm({}, spoil)).toMatch(/^\/golden\.json has sha256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}$/);
  });

  test('not there', async () => {
    expect(await warm({}, (directory) => rm(path(directory)))).toMatch(/^\/golden\.json cannot be used: ENOENT/);
  });

  test.each<[string, TinyOptions['golden'], string]>([
    ['without pictures', (golden) => golden.png.splice(0), 'cannot be used: '],
    ['with a picture that is none', (golden) => golden.png.splice(0, 1, 'aGVsbG8='), 'golden.json cannot be used: '],
    ['without a model', (golden) => Reflect.deleteProperty(golden.models, 'cold'), 'lacks its 4 logits for picture 0'],
    ['without a picture’s logits', ({ models }) => models.warm.served.pop(), 'lacks its 4 logits for picture 1'],
    ['with too few logits', ({ models }) => models.warm.served[0]?.pop(), 'lacks its 4 logits for picture 0'],
  ])('%s', async (_, golden, message) => {
    expect(await warm({ golden: golden as NonNullable<TinyOptions['golden']> })).toContain(message);
  });

  test('with a picture that is larger than the models’ input', async () => {
    const large = (await flatPng([200, 40, 90], SIZE + 1, SIZE)).toString('base64');
    expect(await warm({ golden: ({ png }) => void png.splice(0, 1, large) })).toContain('9 x 8 pixels, at most 64');
  });
});
