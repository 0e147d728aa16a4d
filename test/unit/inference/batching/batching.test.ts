import { expect, test } from 'vitest';
import { haveShapesOf, joinInputs, outputsOf } from '../../../../shared/inference/batching/join.ts';
import { createBatchSizes } from '../../../../shared/inference/batching/sizes.ts';
import { type Job, takeBatch } from '../../../../shared/inference/batching/take-batch.ts';
import { DueQueue } from '../../../../shared/inference/due-queue.ts';
import type { ModelProcess, RunResult } from '../../../../shared/inference/model-process.ts';
import type { RunnableModel } from '../../../../shared/inference/runnable.ts';
import type { Tensors } from '../../../../shared/wire/tensor.ts';
import { keepLines } from '../../../support/log-lines.ts';

const modelOf = (id: string, sha256 = `digest of ${id}`): RunnableModel => ({
  id,
  path: `${id}.onnx`,
  bytes: 1,
  sha256,
  inputs: {},
  outputs: {},
  free: undefined,
  picture: undefined,
});
const [one, other] = [modelOf('one'), modelOf('other')];
const loaded = (takesSeveral: boolean): RunResult => ({
  outputs: {},
  runMs: 1,
  loaded: { holds: [], takesSeveral },
});
const ran = (runMs: number): RunResult => ({ outputs: {}, runMs, loaded: undefined });

/** Sizes that know of these models that their graphs take several items. */
function sizesOf(...models: RunnableModel[]) {
  const { log, lines } = keepLines();
  const sizes = createBatchSizes(log);
  for (const model of models) sizes.record(model, 1, loaded(true));
  return { sizes, lines };
}

// Which process asks is all that counts of it here; a real one would be a child that nobody runs anything in.
const [mine, others] = [{}, {}] as [ModelProcess, ModelProcess];

interface Named extends Job {
  name: string;
}

function jobs(...parts: (Partial<Job> & { name: string; side?: number })[]) {
  const queue = new DueQueue<Named>();
  parts.forEach(({ side = 2, ...part }, i) => {
    const inputs: Tensors = { x: { type: 'uint8', shape: [1, side], data: new Uint8Array(side) } };
    queue.add({ model: one, inputs, batch: 4, due: i, only: undefined, ...part });
  });
  return queue;
}

const named = (...names: string[]) => jobs(...names.map((name) => ({ name })));
const names = (taken: Iterable<Named>) => [...taken].map(({ name }) => name);

test('take batch: the most urgent job and those after it, as many as may run together', () => {
  const queue = named('a', 'b', 'c', 'd', 'e', 'f');
  const { sizes } = sizesOf(one);
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['a', 'b', 'c', 'd']);
  expect(names(queue)).toEqual(['e', 'f']);
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['e', 'f']);
  expect(takeBatch(queue, mine, 1, sizes)).toEqual([]);
});

test('take batch: every process gets its share before one gets several', () => {
  const { sizes } = sizesOf(one);
  expect(names(takeBatch(named('a', 'b', 'c'), mine, 3, sizes))).toEqual(['a']);
  expect(names(takeBatch(named('a', 'b', 'c', 'd'), mine, 3, sizes))).toEqual(['a', 'b']);
  expect(names(takeBatch(named('a', 'b', 'c', 'd', 'e'), mine, 2, sizes))).toEqual(['a', 'b', 'c']);
});

test('take batch: jobs for another model or of other shapes are not taken along, nor counted', () => {
  const { sizes } = sizesOf(one, other);
  const queue = jobs(
    { name: 'a' },
    { name: 'other model', model: other },
    { name: 'other shape', side: 3 },
    { name: 'b' },
  );
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['a', 'b']);
  expect(names(queue)).toEqual(['other model', 'other shape']);
  const mixed = jobs({ name: 'a' }, { name: 'b' }, { name: 'c', model: other }, { name: 'd', model: other });
  expect(names(takeBatch(mixed, mine, 2, sizes))).toEqual(['a']);
});

test('take batch: one model under two ids is one model', () => {
  const { sizes } = sizesOf(one);
  const queue = jobs({ name: 'a' }, { name: 'b', model: modelOf('alias', one.sha256) });
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['a', 'b']);
});

test('take batch: a job for one process waits for it, and runs by itself', () => {
  const { sizes } = sizesOf(one);
  const queue = jobs({ name: 'its own', only: others }, { name: 'a' }, { name: 'mine', only: mine }, { name: 'b' });
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['a', 'b']);
  expect(names(takeBatch(queue, mine, 1, sizes))).toEqual(['mine']);
  expect(takeBatch(queue, mine, 1, sizes)).toEqual([]);
  expect(names(takeBatch(queue, others, 1, sizes))).toEqual(['its own']);
});

test('take batch: alone where the settings, or the model as far as it is known, allow no more', () => {
  const { sizes } = sizesOf(one);
  expect(names(takeBatch(jobs({ name: 'a', batch: 1 }, { name: 'b' }), mine, 1, sizes))).toEqual(['a']);
  expect(names(takeBatch(named('a', 'b'), mine, 1, sizesOf().sizes))).toEqual(['a']);
});

test('batch sizes: one until a process that loaded the model says that its graph takes several', () => {
  const { sizes, lines } = sizesOf();
  sizes.record(one, 1, ran(5));
  expect(sizes.choose(one, 4)).toBe(1);
  sizes.record(one, 1, loaded(true));
  expect([sizes.choose(one, 4), sizes.choose(other, 4)]).toEqual([4, 1]);
  expect(lines).toEqual([]);
});

test('batch sizes: a graph that takes one is told of once, and stays so', () => {
  const { sizes, lines } = sizesOf(one);
  for (const several of [false, false, true]) sizes.record(one, 1, loaded(several));
  sizes.record(one, 1, ran(5));
  expect(sizes.choose(one, 4)).toBe(1);
  expect(lines.map(({ level, model }) => [level, model])).toEqual([[40, 'one']]);
});

test('batch sizes: what runs took decides, but for the one that loaded the model', () => {
  const { sizes } = sizesOf(one, other);
  for (const model of [one, other]) sizes.record(model, 1, ran(10));
  sizes.record(one, 4, ran(80));
  sizes.record(other, 4, ran(20));
  expect([sizes.choose(one, 4), sizes.choose(other, 4)]).toEqual([1, 4]);
  sizes.record(other, 4, { ...loaded(true), runMs: 9999 });
  expect(sizes.choose(other, 4)).toBe(4);
});

const item = (...values: number[]): Tensors => ({
  x: { type: 'float32', shape: [1, values.length], data: Float32Array.from(values) },
  n: { type: 'int64', shape: [1], data: BigInt64Array.of(BigInt(values.length)) },
});

test('join: items lie one after the other, of the same type', () => {
  expect(joinInputs([item(1, 2), item(3, 4), item(5, 6)])).toEqual({
    x: { type: 'float32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    n: { type: 'int64', shape: [3], data: BigInt64Array.of(2n, 2n, 2n) },
  });
});

test('join: outputs of several are told apart as they were joined', () => {
  const items = [item(1, 2), item(3, 4), item(5, 6)];
  const joined = joinInputs(items);
  expect(items.map((_, i) => outputsOf(joined, i, items.length))).toEqual(items);
});

test('join: one alone is passed on as it is', () => {
  const alone = item(1, 2);
  expect(joinInputs([alone])).toBe(alone);
  expect(outputsOf(alone, 0, 1)).toBe(alone);
});

test('join: shapes are compared input by input', () => {
  expect(haveShapesOf(item(1, 2), item(3, 4))).toBe(true);
  expect(haveShapesOf(item(1, 2), item(3))).toBe(false);
  const { x, n } = item(1, 2) as { x: Tensors[string]; n: Tensors[string] };
  expect(haveShapesOf({ x, n }, { x })).toBe(false);
  expect(haveShapesOf({ x }, { x: { ...x, shape: [2, 1] } })).toBe(false);
});

test('join: pixels that are a Buffer become a plain array, without a deprecated constructor', () => {
  const item = () => ({ pixels: { type: 'uint8' as const, shape: [1, 2], data: Buffer.from([1, 2]) } });
  const joined = joinInputs([item(), item()]).pixels?.data;
  expect([joined?.constructor, [...(joined as Uint8Array)]]).toEqual([Uint8Array, [1, 2, 1, 2]]);
});
