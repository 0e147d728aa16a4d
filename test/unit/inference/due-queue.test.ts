import { expect, test } from 'vitest';
import { DueQueue } from '../../../shared/inference/due-queue.ts';

interface Item {
  name: string;
  due: number;
}

const any = () => true;

function fill(...entries: [name: string, due: number][]) {
  const queue = new DueQueue<Item>();
  const items = entries.map(([name, due]) => ({ name, due }));
  for (const item of items) queue.add(item);
  return { queue, items, names: () => [...queue].map(({ name }) => name) };
}

test('due queue: the most urgent comes first, in whatever order they are added', () => {
  for (const order of ['abcd', 'dcba', 'bdac', 'cadb']) {
    const { queue } = fill(...[...order].map((name): [string, number] => [name, name.charCodeAt(0)]));
    const taken = Array.from(order, () => queue.take(any)?.name);
    expect(taken).toEqual(['a', 'b', 'c', 'd']);
  }
});

test('due queue: of those due at the same time the one that came first', () => {
  const { names } = fill(['late', 9], ['first', 5], ['second', 5], ['early', 1], ['third', 5]);
  expect(names()).toEqual(['early', 'first', 'second', 'third', 'late']);
});

test('due queue: takes the most urgent that fits, and leaves the others in their order', () => {
  const { queue, names } = fill(['a1', 1], ['b2', 2], ['a3', 3], ['b4', 4]);
  const isB = ({ name }: Item) => name.startsWith('b');
  expect(queue.take(isB)?.name).toBe('b2');
  expect([names(), queue.length]).toEqual([['a1', 'a3', 'b4'], 3]);
});

test('due queue: where none fits, or there is none, nothing is taken', () => {
  const { queue, names } = fill(['a', 1], ['b', 2]);
  expect(queue.take(() => false)).toBeUndefined();
  expect(names()).toEqual(['a', 'b']);
  expect(new DueQueue<Item>().take(any)).toBeUndefined();
});

test('due queue: removes that very item, and nothing if it is not there any more', () => {
  const { queue, items, names } = fill(['a', 1], ['same', 2], ['same', 2], ['z', 3]);
  const second = items[2] as Item;
  queue.remove(second);
  expect([...queue]).toEqual([items[0], items[1], items[3]]);
  expect([...queue][1]).toBe(items[1]);
  queue.remove(second);
  queue.remove({ name: 'z', due: 3 });
  expect(names()).toEqual(['a', 'same', 'z']);
});

test('due queue: all are taken in order, and it is empty and of use after that', () => {
  const { queue, names } = fill(['b', 2], ['a', 1]);
  expect(queue.takeAll().map(({ name }) => name)).toEqual(['a', 'b']);
  expect([queue.length, names(), queue.takeAll()]).toEqual([0, [], []]);
  queue.add({ name: 'c', due: 0 });
  expect(names()).toEqual(['c']);
});

test('due queue: to look at it takes nothing out', () => {
  const { queue, names } = fill(['a', 1], ['b', 2]);
  expect([names(), names(), queue.length]).toEqual([['a', 'b'], ['a', 'b'], 2]);
});
