import { expect, test } from 'vitest';
import { Budget } from '../../../shared/imaging/memory-budget.ts';

/** Work that goes on until told to end, and a record of what has begun. */
function setUp(total: number) {
  const budget = new Budget(total);
  const begun: string[] = [];
  const start = (name: string, amount: number, signal = new AbortController().signal) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const done = budget.use(amount, signal, () => {
      begun.push(name);
      return promise;
    });
    done.catch(() => {});
    return { done, end: () => resolve(name) };
  };
  return { start, begun };
}

const turn = () => new Promise(setImmediate);

test('memory budget: work runs side by side as long as its amounts fit, in the order it came', async () => {
  const { start, begun } = setUp(10);
  const [a] = [start('a', 4), start('b', 6), start('c', 5), start('d', 1)];
  await turn();
  expect(begun).toEqual(['a', 'b']);
  a?.end();
  await a?.done;
  await turn();
  expect(begun).toEqual(['a', 'b']); // d would fit, but c came before
  start('e', 1);
  await turn();
  expect(begun).toEqual(['a', 'b']);
});

test('memory budget: failed work gives its amount back', async () => {
  const budget = new Budget(1);
  const { signal } = new AbortController();
  await expect(budget.use(1, signal, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(await budget.use(1, signal, async () => 'next')).toBe('next');
});

test('memory budget: work given up while it waits never runs and lets the next one in', async () => {
  const { start, begun } = setUp(10);
  start('a', 5);
  const controller = new AbortController();
  const large = start('large', 10, controller.signal);
  start('b', 5);
  await turn();
  expect(begun).toEqual(['a']);
  controller.abort(new Error('too late'));
  await expect(large.done).rejects.toThrow('too late');
  await turn();
  expect(begun).toEqual(['a', 'b']);
  await expect(start('c', 1, controller.signal).done).rejects.toThrow('too late');
});
