import { once } from 'node:events';
import { expect, test } from 'vitest';
import { Deadline, elapsed, unlessAborted } from '../../../shared/request/deadline.ts';
import { AppError } from '../../../shared/request/errors.ts';

const LONG = 600_000;
const never = new Promise<never>(() => {});

test('deadline: when it passes, its signal aborts with an error that says so', async () => {
  using deadline = new Deadline(5);
  expect(deadline.milliseconds).toBe(5);
  await once(deadline.signal, 'abort');
  expect(deadline.signal.reason).toBeInstanceOf(AppError);
  expect(deadline.signal.reason).toMatchObject({ code: 'deadline-exceeded', message: 'no answer within 5 ms' });
});

test('deadline: what is left goes down to zero, never below', async () => {
  using deadline = new Deadline(5);
  while (performance.now() <= deadline.at) await new Promise(setImmediate);
  expect(deadline.left).toBe(0);
});

test('deadline: a point in time that does not move with reading it', () => {
  const before = performance.now();
  using deadline = new Deadline(LONG);
  const { at } = deadline;
  expect(at).toBeGreaterThanOrEqual(before + LONG);
  expect(deadline.left).toBeLessThanOrEqual(at - before);
  expect(deadline.at).toBe(at);
});

test('deadline: a caller who goes aborts it at once, with his reason', () => {
  const caller = new AbortController();
  using deadline = new Deadline(LONG, caller.signal);
  expect(deadline.signal.aborted).toBe(false);
  const reason = new AppError('client-closed', 'gone');
  caller.abort(reason);
  expect([deadline.signal.aborted, deadline.signal.reason]).toEqual([true, reason]);
});

test('deadline: a caller who had gone before aborts it from the start', () => {
  using deadline = new Deadline(LONG, AbortSignal.abort('gone before'));
  expect([deadline.signal.aborted, deadline.signal.reason]).toEqual([true, 'gone before']);
});

test('deadline: once the request is over neither the caller nor time aborts it', async () => {
  const caller = new AbortController();
  const over = new Deadline(1, caller.signal);
  over[Symbol.dispose]();
  caller.abort();
  using later = new Deadline(20);
  await once(later.signal, 'abort'); // timers fire in order: the first one's would have
  expect(over.signal.aborted).toBe(false);
});

test('unless aborted: gives what the work gives, or its error', async () => {
  const { signal } = new AbortController();
  expect(await unlessAborted(signal, Promise.resolve('done'))).toBe('done');
  await expect(unlessAborted(signal, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
});

test('unless aborted: work that does not end is left at the abort, with its reason', async () => {
  const controller = new AbortController();
  const waiting = unlessAborted(controller.signal, never);
  const reason = new AppError('deadline-exceeded', 'too late');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test('unless aborted: after an abort even work that is done counts for nothing', async () => {
  const reason = new Error('gone');
  await expect(unlessAborted(AbortSignal.abort(reason), Promise.resolve('done'))).rejects.toBe(reason);
});

test('unless aborted: a deadline bounds it', async () => {
  using deadline = new Deadline(5);
  await expect(unlessAborted(deadline.signal, never)).rejects.toMatchObject({ code: 'deadline-exceeded' });
});

test('unless aborted: an abort after the work was done harms nothing', async () => {
  const controller = new AbortController();
  const done = await unlessAborted(controller.signal, Promise.resolve('done'));
  controller.abort(new Error('late')); // an unhandled rejection would fail the run
  await new Promise(setImmediate);
  expect(done).toBe('done');
});

test('elapsed: milliseconds since then, in whole microseconds', () => {
  const from = performance.now();
  const once = elapsed(from);
  expect(once).toBeGreaterThanOrEqual(0);
  expect(elapsed(from - 1000)).toBeGreaterThanOrEqual(once + 999.999);
  for (const start of [0, 0.12345, 7.7777777]) {
    const value = elapsed(start);
    expect(Number(value.toFixed(3))).toBe(value);
  }
});

test('unless aborted: work that fails after the caller has gone is no unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', listen);
  const work = new Promise<never>((_, reject) => setImmediate(reject, new Error('too late')));
  await expect(unlessAborted(AbortSignal.abort(new Error('gone')), work)).rejects.toThrow('gone');
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  process.off('unhandledRejection', listen);
  expect(unhandled).toEqual([]);
});
