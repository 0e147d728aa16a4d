import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Deadline, elapsed, unlessAborted } from '../../../shared/request/deadline.ts';
import { AppError } from '../../../shared/request/errors.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('deadline', () => {
  test('it aborts when it passes, not before, saying how long it was', () => {
    using deadline = new Deadline(100);
    vi.advanceTimersByTime(99);
    expect(deadline.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(deadline.signal.reason).toMatchObject({ code: 'deadline-exceeded', message: 'no answer within 100 ms' });
  });

  test('the time left shrinks to 0 and not below', () => {
    using deadline = new Deadline(100);
    expect([deadline.milliseconds, deadline.left]).toEqual([100, 100]);
    vi.advanceTimersByTime(30);
    expect(deadline.left).toBe(70);
    vi.advanceTimersByTime(100);
    expect([deadline.milliseconds, deadline.left]).toEqual([100, 0]);
  });

  test('it aborts with the reason of a caller who goes', () => {
    const caller = new AbortController();
    using deadline = new Deadline(100, caller.signal);
    const gone = new AppError('client-closed', 'gone');
    caller.abort(gone);
    expect(deadline.signal.reason).toBe(gone);
    vi.advanceTimersByTime(200);
    expect(deadline.signal.reason).toBe(gone);
  });

  test('it is aborted from the first for a caller who has gone already', () => {
    const gone = new AppError('client-closed', 'gone');
    using deadline = new Deadline(100, AbortSignal.abort(gone));
    expect(deadline.signal.reason).toBe(gone);
  });

  test('a request that is over is aborted neither by time nor by its caller', () => {
    const caller = new AbortController();
    const deadline = new Deadline(100, caller.signal);
    deadline[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(200);
    caller.abort();
    expect(deadline.signal.aborted).toBe(false);
  });
});

describe('unlessAborted', () => {
  test('work that is done in time gives its result', async () => {
    using deadline = new Deadline(100);
    expect(await unlessAborted(deadline.signal, Promise.resolve('done'))).toBe('done');
    await expect(unlessAborted(deadline.signal, Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  });

  test('work is waited for until the signal aborts, and no longer', async () => {
    using deadline = new Deadline(100);
    const waiting = unlessAborted(deadline.signal, new Promise(() => {}));
    vi.advanceTimersByTime(100);
    await expect(waiting).rejects.toBe(deadline.signal.reason);
  });

  test('an aborted signal wins over work that is done', async () => {
    const reason = new Error('gone');
    await expect(unlessAborted(AbortSignal.abort(reason), Promise.resolve('done'))).rejects.toBe(reason);
  });
});

test('elapsed: milliseconds since a point in time, to microseconds', () => {
  const from = performance.now();
  vi.advanceTimersByTime(12);
  expect(elapsed(from)).toBe(12);
  expect(elapsed(from - 0.123_456)).toBe(12.123);
});
