import { rename } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { black, blank, children, codeOf, collectLog, constant, slow, square, startPool } from '../support/pool.ts';
import { SIZE } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

describe('inference failures', () => {
  test('a process that is killed is replaced, and its jobs are done by the next', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    await Promise.race(Array.from({ length: 4 }, () => pool.run(warm, blank, { batch: 4 })));
    const together = Array.from({ length: 3 }, () => pool.run(warm, blank, { batch: 4 }));
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    for (const { outputs } of await Promise.all(together)) expect(outputs.logits?.data).toHaveLength(4);
  });

  test('one bad item fails alone: those that ran with it are run again', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    const first = pool.run(warm, blank, { batch: 4 }); // the others wait for it, and run together
    const wrong = { pixels: { type: 'int8' as const, shape: [1, SIZE, SIZE, 3], data: new Int8Array(black.length) } };
    const together = [wrong, blank, blank].map((inputs) => codeOf(pool.run(warm, inputs, { batch: 4 })));
    await first;
    expect(await Promise.all(together)).toEqual(['model-failed', 'answered', 'answered']);
  });

  test('items that cannot be joined fail, and the process goes on', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
    const { pool, warm } = context;
    await pool.warm(warm);
    const first = pool.run(warm, blank, { batch: 4 });
    const long = square(new Uint8Array(2 * black.length)); // more values than its shape says
    const together = [blank, long].map((inputs) => codeOf(pool.run(warm, inputs, { batch: 4 })));
    await first;
    const [good, bad] = await Promise.all(together);
    expect([good, bad]).toEqual(['answered', 'model-failed']);
    expect((await pool.run(warm, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('a process killed while idle is replaced', async () => {
    await using context = await startPool();
    await context.pool.warm(context.warm);
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    await waitFor(() => children().length === 0, 'the process to end');
    expect((await context.pool.run(context.warm, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('a run that hangs is killed, tried once more, then given up', async () => {
    await using context = await startPool({ runLimitMs: 1000 }, { models: { warm: { rows: constant, work: 40_000 } } });
    await expect(context.pool.run(context.warm, blank)).rejects.toThrow('the process running warm died twice');
    expect((await context.pool.run(context.generalist, blank)).outputs.logits?.data).toHaveLength(4);
  });

  test('a process that stops answering is replaced, and the picture answered by another', async () => {
    await using context = await startPool();
    await context.pool.run(context.warm, blank);
    const [stopped] = children() as [number];
    process.kill(stopped, 'SIGSTOP');
    expect((await context.pool.run(context.warm, blank)).outputs.logits?.data).toHaveLength(4);
    expect(children()).not.toContain(stopped);
  });

  test.each(['/bin/false', '/nowhere'])(
    'processes that never start (%s) fail the waiting runs, and stopping ends',
    async (execPath) => {
      await using context = await startPool({ execPath });
      await expect(context.pool.warm(context.warm)).rejects.toThrow(
        'model processes do not start: 5 in a row died first',
      );
    },
  );

  test('a process that the system refuses at once is tried again', async () => {
    const { log, lines } = collectLog();
    await using context = await startPool({ log });
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
    await using context = await startPool({ providers: ['x'.repeat(4_000_000)] });
    await expect(context.pool.warm(context.warm)).rejects.toThrow('model processes do not start: 5 in a row');
    expect(context.pool.works(context.warm)).toBe(false);
  });

  test('a model whose file has gone stops working with its process, and works again once the file is back', async () => {
    await using context = await startPool();
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

  test('stopping ends also while the last job fails', async () => {
    await using context = await startPool({ runLimitMs: 1 }, { models: { warm: slow } });
    const run = codeOf(context.pool.run(context.warm, blank));
    await context.pool.stop();
    expect(await run).toBe('model-failed');
  });

  test('stopping finishes queued runs, refuses new ones and leaves no process', async () => {
    await using context = await startPool({ workers: 2 }, { models: { warm: slow } });
    const runs = Array.from({ length: 6 }, () => codeOf(context.pool.run(context.warm, blank)));
    const stopped = context.pool.stop();
    expect(await codeOf(context.pool.run(context.warm, blank))).toBe('stopping');
    await stopped;
    expect(await Promise.all(runs)).toEqual(Array(6).fill('answered'));
    expect(children()).toEqual([]);
  });
});
