import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { AppError } from '../../shared/request/errors.ts';
import { black, blank, collectLog, constant, slow, square, startPool } from '../support/pool.ts';
import type { TinyOptions } from '../support/tiny-bundle.ts';
import type { TinyModel } from '../support/tiny-onnx.ts';

describe('inference', () => {
  test('a model gives its outputs', async () => {
    await using context = await startPool();
    const { pool, generalist } = context;
    const red = square(black.map((_, i) => (i % 3 === 0 ? 250 : 10)));
    const one = await pool.run(generalist, red);
    expect(Array.from(one.outputs.logits?.data as Float32Array)).toEqual(
      [24, -12, -12, 0.1].map((v) => expect.closeTo(v, 3)),
    );
    expect(Array.from(one.outputs.attention?.data as Float32Array)).toEqual(
      [250, 10, 10].map((v) => expect.closeTo(v, 3)),
    );
  });

  test('pictures that wait for the same model run together, and each gets its own outputs', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
    const { pool, generalist, warm } = context;
    await Promise.all([pool.warm(warm), pool.warm(generalist)]);
    const first = pool.run(warm, blank);
    const reds = [0, 50, 100, 150, 200, 250];
    const [other, ...alike] = await Promise.all([
      pool.run(warm, blank),
      ...reds.map((red) => pool.run(generalist, square(black.map((_, i) => (i % 3 === 0 ? red : 0))), { batch: 4 })),
    ]);
    await first;
    const runs = alike.map(({ runMs }) => runMs);
    expect(new Set(runs.slice(0, 4)).size).toBe(1);
    expect(new Set(runs).size).toBe(2);
    expect(other?.outputs.logits?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(alike.map(({ outputs }) => outputs.logits?.data[0])).toEqual(reds.map((red) => expect.closeTo(red / 10, 3)));
    expect(alike.map(({ outputs }) => outputs.attention?.data.length)).toEqual(Array(6).fill(3));
  });

  test.each(['declared', 'inside'] as const)(
    'a model for one picture at a time (%s) gets one, also when it was not warmed',
    async (single) => {
      const rows = constant.map((_, i): TinyModel['rows'][number] => [i === 0 ? 0.1 : 0, 0, 0, 0]);
      const { log, lines } = collectLog();
      await using context = await startPool({ workers: 2, log }, { models: { warm: { rows, single } } });
      const reds = Array.from({ length: 40 }, (_, i) => 5 * i);
      const pictures = reds.map((red) => square(black.map((_, i) => (i % 3 === 0 ? red : 0))));
      const runs = await Promise.all(pictures.map((pixels) => context.pool.run(context.warm, pixels, { batch: 4 })));
      expect(runs.map(({ outputs }) => outputs.logits?.data[0])).toEqual(
        reds.map((red) => expect.closeTo(red / 10, 3)),
      );
      expect(lines.map(({ model, msg }) => ({ model, msg }))).toEqual([
        { model: 'warm', msg: 'the model takes one picture at a time: those that wait for it do not run together' },
      ]);
    },
  );

  test('waiting pictures are shared among the processes', async () => {
    await using context = await startPool({ workers: 2 }, { models: { warm: slow } });
    const { pool, warm, generalist } = context;
    await Promise.all([pool.warm(warm), pool.warm(generalist)]);
    const busy = [pool.run(warm, blank), pool.run(warm, blank)];
    const runs = await Promise.all(Array.from({ length: 4 }, () => pool.run(generalist, blank, { batch: 4 })));
    await Promise.all(busy);
    const together = Map.groupBy(runs, ({ runMs }) => runMs).values();
    expect([...together].map(({ length }) => length)).toEqual([2, 1, 1]);
  });

  test('an output of another shape than the manifest says is refused when warming', async () => {
    const change: TinyOptions['change'] = (manifest) => {
      manifest.generalist.outputs.attention = 7;
    };
    await using context = await startPool({}, { change });
    await expect(context.pool.warm(context.generalist)).rejects.toThrow(
      "model generalist: output 'attention' is float32 [1,3], expected float32 [1,7]",
    );
  });

  test('sessions beyond the memory budget are released and loaded again when needed', async () => {
    await using context = await startPool({ memoryBytes: 2000 });
    const { pool, generalist, warm } = context;
    const loads = async (model: typeof warm) => (await pool.run(model, blank)).loaded;
    const seen = [];
    for (const model of [generalist, generalist, warm, warm, generalist]) seen.push(await loads(model));
    expect(seen).toEqual([true, false, true, false, true]);
  });

  test('a model larger than the budget is refused by the name of the setting', async () => {
    await using context = await startPool({ memoryBytes: 1000 });
    await expect(context.pool.warm(context.generalist)).rejects.toThrow(
      /^model generalist: needs about \d+ bytes of memory, the budget \(ASK_EXPERT_MEMORY_MB\) is 1000$/,
    );
  });
});

describe('inference: a file is checked against the manifest whenever it is loaded', () => {
  test.each<[string, (bytes: Buffer) => Buffer | null, RegExp]>([
    ['missing', () => null, /^model warm: .*warm\.onnx cannot be read: ENOENT/],
    [
      'longer',
      (bytes) => Buffer.concat([bytes, bytes]),
      /^model warm: .*warm\.onnx has \d+ bytes, the manifest says \d+$/,
    ],
    ['altered', (bytes) => Buffer.alloc(bytes.length), /^model warm: .*warm\.onnx has sha256 .*, the manifest says /],
  ])('%s weights are refused; why, only the log says', async (_, change, message) => {
    const { log, lines } = collectLog();
    await using context = await startPool({ memoryBytes: 2000, log });
    const { pool, generalist, warm } = context;
    await pool.warm(warm);
    const bytes = await readFile(warm.path);
    const changed = change(bytes);
    await (changed ? writeFile(warm.path, changed) : rm(warm.path));
    expect((await pool.run(warm, blank)).loaded).toBe(false);
    expect((await pool.run(generalist, blank)).loaded).toBe(true); // there is memory for one
    const error: AppError = await pool.run(warm, blank).catch((thrown) => thrown);
    expect([error.code, error.message]).toEqual(['model-failed', 'model warm could not be run, see the log']);
    expect((error.cause as Error).message).toMatch(message);
    expect(lines.map(({ reason }) => reason)).toEqual([expect.stringMatching(message)]);
    await writeFile(warm.path, bytes);
    expect((await pool.run(warm, blank)).loaded).toBe(true);
  });
});

test('inference: a file that is no model is refused by its name, whatever the providers', async () => {
  const setProviders: string[][] = process.platform === 'linux' ? [['cpu'], ['cuda', 'cpu']] : [['cpu']];
  for (const providers of setProviders) {
    await using context = await startPool({ providers });
    const { pool, warm } = context;
    const bytes = Buffer.from('no model');
    await writeFile(warm.path, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await expect(pool.warm({ ...warm, bytes: bytes.length, sha256 })).rejects.toThrow(
      /^model warm: .*warm\.onnx cannot be loaded: .*protobuf/,
    );
  }
});

describe('inference: execution providers', () => {
  const other = process.platform === 'darwin' ? 'dml' : 'coreml';

  test('a provider that onnxruntime was not built with is refused, not left out', async () => {
    await using context = await startPool({ providers: [other, 'cpu'] });
    await expect(context.pool.warm(context.warm)).rejects.toThrow(`has no execution provider '${other}', it has cpu`);
  });

  test.runIf(process.platform === 'linux')(
    'a provider whose libraries are missing is refused by the setting’s name',
    async () => {
      await using context = await startPool({ providers: ['cuda', 'cpu'] });
      await expect(context.pool.warm(context.warm)).rejects.toThrow('ASK_EXECUTION_PROVIDERS=cuda,cpu: ');
    },
  );
});
