import { describe, expect, test } from 'vitest';
import { DueQueue } from '../../../shared/inference/due-queue.ts';

function fill(...items: [name: string, due: number][]) {
  const queue = new DueQueue<{ name: string; due: number }>();
  for (const [name, due] of items) queue.add({ name, due });
  return queue;
}

const names = (items: Iterable<{ name: string }>) => Array.from(items, ({ name }) => name);

describe('due queue', () => {
  test('the item due first is at the front, among equals the one that came first', () => {
    const queue = fill(['late', 30], ['soon', 10], ['later', 40], ['also soon', 10], ['between', 20]);
    expect(names(queue)).toEqual(['soon', 'also soon', 'between', 'late', 'later']);
    expect(queue.length).toBe(5);
  });

  test('an item without a deadline stays behind all others', () => {
    const queue = fill(['whenever', Number.POSITIVE_INFINITY], ['late', 1e9]);
    expect(names(queue)).toEqual(['late', 'whenever']);
  });

  test('take takes out the first that fits and leaves the others in order', () => {
    const queue = fill(['a', 1], ['bb', 2], ['cc', 3], ['d', 4]);
    expect(queue.take(({ name }) => name.length === 2)?.name).toBe('bb');
    expect(names(queue)).toEqual(['a', 'cc', 'd']);
  });

  test('take takes nothing where nothing fits', () => {
    const queue = fill(['a', 1]);
    expect(queue.take(() => false)).toBeUndefined();
    expect(names(queue)).toEqual(['a']);
  });

  test('remove takes out that very item, and nothing once it has gone', () => {
    const queue = fill(['a', 1], ['b', 2]);
    const [, b] = queue;
    queue.remove(b as { name: string; due: number });
    queue.remove(b as { name: string; due: number });
    queue.remove({ name: 'a', due: 1 });
    expect(names(queue)).toEqual(['a']);
  });

  test('takeAll empties it', () => {
    const queue = fill(['b', 2], ['a', 1]);
    expect(names(queue.takeAll())).toEqual(['a', 'b']);
    expect(queue.length).toBe(0);
  });
});
