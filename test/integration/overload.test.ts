import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, LABELS, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

// About 30 ms a run on a machine of today; the tests below ask of it only that twenty take longer than one.
const slow = {
  rows: LABELS.map((_, i) => [0, 0, 0, i === 0 ? 0.3 : 0]) as [number, number, number, number][],
  attention: true,
  work: 60,
};

describe('overload', { timeout: 120_000 }, () => {
  test('requests beyond it are refused at once with 429 and Retry-After, those let in are answered', async () => {
    await using system = await startTinySystem({
      models: { generalist: slow },
      env: { ASK_WORKERS: '1', ASK_BATCH_MAX: '1', ASK_CACHE_BYTES: '0' },
      experts: null,
    });
    const image = await flatPng(SURE_RED);
    const alone: number[] = [];
    for (let i = 0; i < 5; i++) alone.push((await postImage(system.url, image)).body.timings.totalMs);
    const typicalMs = alone.sort((a, b) => a - b)[2] as number; // one slow run would make room for all
    const deadlineMs = Math.ceil(10 * typicalMs);
    // One after the other, so that each sees what was let in before it; faster and faster until more come than fit,
    // since the machine may have become faster, and on until enough are answered, since it may have become slower.
    const answers: ReturnType<typeof postImage>[] = [];
    const counts = new Map<number, number>();
    const enough = (status: number) => (counts.get(status) ?? 0) > 5;
    let pauseMs = typicalMs / 6;
    while (!enough(200) || !enough(429)) {
      const answer = postImage(system.url, image, `?strategy=edge&deadlineMs=${deadlineMs}`);
      answers.push(answer);
      void answer.then(({ status }) => counts.set(status, (counts.get(status) ?? 0) + 1));
      await sleep(pauseMs);
      if (!enough(429)) pauseMs *= 0.97;
    }
    const all = await Promise.all(answers);
    const refused = all.filter(({ status }) => status === 429);
    // A machine that turns slow meanwhile may be late for some: the bench (`--overload`) looks at that.
    for (const { status } of all) expect([200, 429, 504]).toContain(status);
    for (const { body, headers } of refused) {
      expect(body.code).toBe('overloaded');
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
  });

  test('a deadline that even an idle edge cannot meet is no overload', async () => {
    await using system = await startTinySystem({ models: { generalist: { ...slow, work: 600 } } });
    const image = await flatPng(SURE_RED);
    await postImage(system.url, image, '?deadlineMs=60000');
    const { status, body } = await postImage(system.url, await flatPng(UNSURE_WARM), '?deadlineMs=1');
    expect([status, body.code]).toEqual([504, 'deadline-exceeded']);
  });

  test('escalations are given up before answers are: the generalist answers, marked overloaded', async () => {
    await using system = await startTinySystem({
      models: { generalist: { ...slow, work: 240 } }, // full for long enough to be seen from a busy machine
      env: { ASK_WORKERS: '1', ASK_CACHE_BYTES: '0', ASK_EDGE_QUEUE: '40' },
    });
    const image = await flatPng(UNSURE_WARM);
    expect((await postImage(system.url, image)).body).toMatchObject({ route: 'expert', degraded: null });
    const answers = Array.from({ length: 40 }, () => postImage(system.url, image, '?deadlineMs=60000'));
    const readiness = async () => {
      const response = await fetch(`${system.url}/readyz`);
      return [response.status, ((await response.json()) as { status: string }).status];
    };
    let found: Awaited<ReturnType<typeof readiness>> = [];
    await waitFor(async () => {
      found = await readiness();
      return found[0] === 503;
    }, 'readiness to turn before requests are refused');
    expect(found).toEqual([503, 'overloaded']);
    const all = await Promise.all(answers);
    expect(await readiness()).toEqual([200, 'ready']);
    expect(all.every(({ status }) => status === 200)).toBe(true);
    const given = all.filter(({ body }) => body.degraded === 'overloaded');
    expect(given.length).toBeGreaterThan(0);
    expect(given.every(({ body }) => body.route === 'edge' && body.bytesSent === 0)).toBe(true);
    expect(all.some(({ body }) => body.route === 'expert')).toBe(true);
  });
});
