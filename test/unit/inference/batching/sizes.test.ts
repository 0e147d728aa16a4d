import { describe, expect, test } from 'vitest';
import { createBatchSizes } from '../../../../shared/inference/batching/sizes.ts';
import type { RunnableModel } from '../../../../shared/inference/runnable.ts';
import { keepLines } from '../../../support/log-lines.ts';

const model = (id: string): RunnableModel => ({
  id,
  path: `${id}.onnx`,
  bytes: 1,
  sha256: `digest of ${id}`,
  inputs: {},
  outputs: {},
  picture: undefined,
});
const [one, other] = [model('one'), model('other')];
const ran = (runMs: number) => ({ outputs: {}, runMs, loaded: undefined });
const loaded = (takesSeveral: boolean) => ({ outputs: {}, runMs: 1000, loaded: { takesSeveral, holds: [] } });

describe('batch sizes', () => {
  test('a model runs one picture at a time until a process has loaded it', () => {
    const sizes = createBatchSizes(keepLines().log);
    expect(sizes.choose(one, 4)).toBe(1);
    sizes.record(one, 1, loaded(true));
    expect([sizes.choose(one, 4), sizes.choose(other, 4)]).toEqual([4, 1]);
  });

  test('a model whose graph takes one picture never gets more, and the log says so once', () => {
    const { log, lines } = keepLines();
    const sizes = createBatchSizes(log);
    sizes.record(one, 1, loaded(false));
    sizes.record(one, 1, loaded(false));
    sizes.record(one, 1, loaded(true)); // as another process might say
    expect(sizes.choose(one, 4)).toBe(1);
    expect(lines.map(({ model }) => model)).toEqual(['one']);
  });

  test('a model that is no faster with several together gets one, and each model is judged by itself', () => {
    const sizes = createBatchSizes(keepLines().log);
    for (const model of [one, other]) sizes.record(model, 1, loaded(true));
    for (const model of [one, other]) sizes.record(model, 1, ran(10));
    sizes.record(one, 4, ran(44));
    sizes.record(other, 4, ran(20));
    expect([sizes.choose(one, 4), sizes.choose(other, 4)]).toEqual([1, 4]);
  });

  test('the time of a run that loaded the model first does not count', () => {
    const sizes = createBatchSizes(keepLines().log);
    sizes.record(one, 1, loaded(true)); // a second for one picture
    sizes.record(one, 1, ran(10));
    sizes.record(one, 4, ran(80));
    expect(sizes.choose(one, 4)).toBe(1);
  });
});
