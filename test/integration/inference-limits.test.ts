import { describe, expect, test } from 'vitest';
import { AppError } from '../../shared/request/errors.ts';
import { blank, codeOf, slow, startPool } from '../support/pool.ts';

describe('inference limits', () => {
  test('a full queue refuses, and queued runs are answered', async () => {
    await using context = await startPool({ queueLimit: 2 }, { models: { warm: slow } });
    await context.pool.warm(context.warm);
    const runs = Array.from({ length: 4 }, () => codeOf(context.pool.run(context.warm, blank)));
    expect(await Promise.all(runs)).toEqual(['answered', 'answered', 'answered', 'overloaded']);
  });

  test('a job whose deadline passes in the queue never runs', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
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

  test('the run due first goes first, whatever came first', async () => {
    await using context = await startPool({}, { models: { warm: slow } });
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
