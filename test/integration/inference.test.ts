import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { InferencePool, type PoolOptions } from '../../shared/inference/pool.ts';
import { toRunnable } from '../../shared/inference/runnable.ts';
import { createLog } from '../../shared/observe/log.ts';
import { AppError } from '../../shared/request/errors.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import { makeTinyBundle, SIZE, type TinyOptions } from '../support/tiny-bundle.ts';
import type { TinyModel } from '../support/tiny-onnx.ts';
import { waitFor } from '../support/wait.ts';

const constant: TinyModel['rows'] = [1, 2, 3, 4].map((bias) => [0, 0, 0, bias]);
const slow: TinyModel = { rows: constant, work: 400 };
const black = new Uint8Array(SIZE * SIZE * 3);
const square = (data: Uint8Array): Tensors => ({ pixels: { type: 'uint8', shape: [1, SIZE, SIZE, 3], data } });
const blank = square(black);

async function setUp(options: Partial<PoolOptions> = {}, bundleOptions: TinyOptions = {}) {
  const files = await makeTinyBundle(bundleOptions);
  const bundle = await loadBundle(files.directory);
  const models = [...bundle.here, ...bundle.there].map((id) => toRunnable(bundle, id));
  const log = createLog('silent', 'test');
  const pool = new InferencePool({ workers: 1, threads: 1, queueLimit: 100, memoryBytes: 1e9, log, ...options });
  return {
    pool,
    generalist: models[0] as (typeof models)[number],
    warm: models[1] as (typeof models)[number],
    async [Symbol.asyncDispose]() {
      await pool.stop();
      await files.remove();
    },
  };
}

/** A log, and the lines that were written to it. */
function collectLog() {
  const lines: { msg: string; model?: string; reason?: string; err?: { code?: string } }[] = [];
  return { log: pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) }), lines };
}

const codeOf = (run: Promise<unknown>) =>
  run.then(
    () => 'answered',
    (error: AppError) => error.code,
  );

/** Process ids of this process's model processes. */
function children(): number[] {
  const lines = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' });
  return lines
    .split('\n')
    .filter((line) => line.includes('inference/worker'))
    .map((line) => Number.parseInt(line, 10));
}

describe('running', () => {
  test('a model gives its outputs', async () => {
    await using context = await setUp();
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

  test('what waits for the same model is run together, and each picture gets its own outputs', async () => {
    await using context = await setUp({}, { models: { warm: slow } });
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
    'a model for one picture at a time (%s) gets no more, also when it was not warmed',
    async (single) => {
      const rows = constant.map((_, i): TinyModel['rows'][number] => [i === 0 ? 0.1 : 0, 0, 0, 0]);
      const { log, lines } = collectLog();
      await using context = await setUp({ workers: 2, log }, { models: { warm: { rows, single } } });
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

  test('what waits is shared among the processes', async () => {
    await using context = await setUp({ workers: 2 }, { models: { warm: slow } });
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
    await using context = await setUp({}, { change });
    await expect(context.pool.warm(context.generalist)).rejects.toThrow(
      "model generalist: output 'attention' is float32 [1,3], expected float32 [1,7]",
    );
  });

  test('sessions beyond the memory budget are released and loaded again when needed', async () => {
    await using context = await setUp({ memoryBytes: 2000 });
    const { pool, generalist, warm } = context;
    const loads = async (model: typeof warm) => (await pool.run(model, blank)).loaded;
    const seen = [];
    for (const model of [generalist, generalist, warm, warm, generalist]) seen.push(await loads(model));
    expect(seen).toEqual([true, false, true, false, true]);
  });

  test('a model larger than the budget is refused by the name of the setting', async () => {
    await using context = await setUp({ memoryBytes: 1000 });
    await expect(context.pool.warm(context.generalist)).rejects.toThrow(
      /^model generalist: needs about \d+ bytes of memory, the budget \(ASK_EXPERT_MEMORY_MB\) is 1000$/,
    );
  });
});

describe('a file is held against the manifest whenever it is loaded', () => {
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
    await using context = await setUp({ memoryBytes: 2000, log });
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

test('a file that is no model is refused by its name, whatever the providers', async () => {
  const setProviders: string[][] = process.platform === 'linux' ? [['cpu'], ['cuda', 'cpu']] : [['cpu']];
  for (const providers of setProviders) {
    await using context = await setUp({ providers });
    const { pool, warm } = context;
    const bytes = Buffer.from('no model');
    await writeFile(warm.path, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await expect(pool.warm({ ...warm, bytes: bytes.length, sha256 })).rejects.toThrow(
      /^model warm: .*warm\.onnx cannot be loaded: .*protobuf/,
    );
  }
});

describe('execution providers', () => {
  const other = process.platform === 'darwin' ? 'dml' : 'coreml';

  test('one that onnxruntime was not built with is refused, not left out', async () => {
    await using context = await setUp({ providers: [other, 'cpu'] });
    await expect(context.pool.warm(context.warm)).rejects.toThrow(`has no execution provider '${other}', it has cpu`);
  });

  test.runIf(process.platform === 'linux')(
    'one whose libraries are missing is refused by the setting’s name',
    async () => {
      await using context = await setUp({ providers: ['cuda', 'cpu'] });
      await expect(context.pool.warm(context.warm)).rejects.toThrow('ASK_EXECUTION_PROVIDERS=cuda,cpu: ');
    },
  );
});

describe('limits', () => {
  test('a full queue refuses, and what was queued is answered', async () => {
    await using context = await setUp({ queueLimit: 2 }, { models: { warm: slow } });
    await context.pool.warm(context.warm);
    const runs = Array.from({ length: 4 }, () => codeOf(context.pool.run(context.warm, blank)));
    expect(await Promise.all(runs)).toEqual(['answered', 'answered', 'answered', 'overloaded']);
  });

  test('a job whose deadline passes in the queue never runs', async () => {
    await using context = await setUp({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    const controller = new AbortController();
    const first = pool.run(warm, blank);
    const late = codeOf(pool.run(warm, blank, { deadline: { at: 0, signal: controller.signal } }));
    expect(pool.waiting).toBe(1);
    controller.abort(new AppError('deadline-exceeded', ''));
    expect([await late, pool.waiting]).toEqual(['deadline-exceeded', 0]);
    expect((await first).outputs.logits?.data).toHaveLength(4);
    expect(await codeOf(pool.run(warm, blank, { deadline: { at: 0, signal: controller.signal } }))).toBe(
      'deadline-exceeded',
    );
  });

  test('what is due first runs first, whatever came first', async () => {
    await using context = await setUp({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    const { signal } = new AbortController();
    const order: string[] = [];
    const runs = [
      ['first in', undefined],
      ['no deadline', undefined],
      ['late', 3000],
      ['urgent', 1000],
      ['also urgent', 1000],
    ] as const;
    await Promise.all(
      runs.map(([name, at]) =>
        pool.run(warm, blank, at === undefined ? {} : { deadline: { at, signal } }).then(() => order.push(name)),
      ),
    );
    expect(order).toEqual(['first in', 'urgent', 'also urgent', 'late', 'no deadline']);
  });
});

describe('failure', () => {
  test('a process that is killed is replaced, and its jobs are done by the next', async () => {
    await using context = await setUp({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    await Promise.race(Array.from({ length: 4 }, () => pool.run(warm, blank, { batch: 4 })));
    const together = Array.from({ length: 3 }, () => pool.run(warm, blank, { batch: 4 }));
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    for (const { outputs } of await Promise.all(together)) expect(outputs.logits?.data).toHaveLength(4);
  });

  test('a process killed while idle is replaced', async () => {
    await using context = await setUp();
    await context.pool.warm(context.warm);
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    await waitFor(() => children().length === 0, 'the process to end');
    expect((await context.pool.run(context.warm, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('a run that hangs is killed, tried once more, then given up', async () => {
    await using context = await setUp({ runLimitMs: 1000 }, { models: { warm: { rows: constant, work: 40_000 } } });
    await expect(context.pool.run(context.warm, blank)).rejects.toThrow('the process running warm died twice');
    expect((await context.pool.run(context.generalist, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('a process that stops answering is replaced, and the picture answered by another', async () => {
    await using context = await setUp();
    await context.pool.run(context.warm, blank);
    const [stopped] = children() as [number];
    process.kill(stopped, 'SIGSTOP');
    expect((await context.pool.run(context.warm, blank)).outputs.logits?.data).toHaveLength(4);
    expect(children()).not.toContain(stopped);
  });

  test.each(['/bin/false', '/nowhere'])(
    'processes that never start (%s) fail what waits, and stopping ends',
    async (execPath) => {
      await using context = await setUp({ execPath });
      await expect(context.pool.warm(context.warm)).rejects.toThrow(
        'model processes do not start: 5 in a row died first',
      );
    },
  );

  test('a process that the system refuses at once is tried again', async () => {
    const { log, lines } = collectLog();
    await using context = await setUp({ log });
    const { pool, warm } = context;
    await pool.warm(warm);
    const running = children();
    process.env.ASK_TOO_LONG = 'x'.repeat(4_000_000); // for the system: `fork` throws E2BIG
    try {
      for (const pid of running) process.kill(pid, 'SIGKILL');
      await waitFor(() => lines.some(({ err }) => err?.code === 'E2BIG'), 'a process that is refused');
    } finally {
      delete process.env.ASK_TOO_LONG;
    }
    expect((await pool.run(warm, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('warming fails if the system refuses all processes', async () => {
    await using context = await setUp({ providers: ['x'.repeat(4_000_000)] });
    await expect(context.pool.warm(context.warm)).rejects.toThrow('model processes do not start: 5 in a row');
    expect(context.pool.works(context.warm)).toBe(false);
  });

  test('a model whose file has gone stops working with its process, and works by itself once the file is back', async () => {
    await using context = await setUp();
    const { pool, warm, generalist } = context;
    await pool.warm(warm);
    await rename(warm.path, `${warm.path}.gone`);
    expect((await pool.run(warm, blank)).outputs.logits?.data).toHaveLength(4);
    expect(pool.works(warm)).toBe(true);
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    await waitFor(() => children().length === 0, 'the process to end');
    expect(await codeOf(pool.run(warm, blank))).toBe('model-failed');
    await pool.run(generalist, blank);
    expect([pool.works(warm), pool.works(generalist)]).toEqual([false, true]);
    await rename(`${warm.path}.gone`, warm.path);
    await waitFor(() => pool.works(warm), 'the model to work');
  });

  test('stopping while the last job fails ends, too', async () => {
    await using context = await setUp({ runLimitMs: 1 }, { models: { warm: slow } });
    const run = codeOf(context.pool.run(context.warm, blank));
    await context.pool.stop();
    expect(await run).toBe('model-failed');
  });

  test('stopping finishes what is queued, then refuses, and leaves no process', async () => {
    await using context = await setUp({ workers: 2 }, { models: { warm: slow } });
    const runs = Array.from({ length: 6 }, () => codeOf(context.pool.run(context.warm, blank)));
    const stopped = context.pool.stop();
    expect(await codeOf(context.pool.run(context.warm, blank))).toBe('stopping');
    await stopped;
    expect(await Promise.all(runs)).toEqual(Array(6).fill('answered'));
    expect(children()).toEqual([]);
  });
});
