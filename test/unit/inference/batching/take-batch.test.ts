import { describe, expect, test } from 'vitest';
import { createBatchSizes } from '../../../../shared/inference/batching/sizes.ts';
import { type Job, takeBatch } from '../../../../shared/inference/batching/take-batch.ts';
import { DueQueue } from '../../../../shared/inference/due-queue.ts';
import type { ModelProcess } from '../../../../shared/inference/model-process.ts';
import type { RunnableModel } from '../../../../shared/inference/runnable.ts';
import { keepLines } from '../../../support/log-lines.ts';

/** Processes are told apart here and nothing else is done with them. */
const [process, neighbour] = [{}, {}] as [ModelProcess, ModelProcess];

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

interface NamedJob extends Job {
  name: string;
}

function job(name: string, changes: Partial<Job> & { length?: number } = {}): NamedJob {
  const { length = 3, ...rest } = changes;
  const pixels = { type: 'uint8' as const, shape: [1, length], data: new Uint8Array(length) };
  return { name, model: one, inputs: { pixels }, batch: 4, due: 1, only: undefined, ...rest };
}

/** Takes one batch after the other; both models take several at a time. */
function take(jobs: NamedJob[], processes = 1, by = process) {
  const queue = new DueQueue<NamedJob>();
  for (const one of jobs) queue.add(one);
  const sizes = createBatchSizes(keepLines().log);
  for (const model of [one, other]) {
    sizes.record(model, 1, { outputs: {}, runMs: 1, loaded: { takesSeveral: true, holds: [] } });
  }
  return () => takeBatch(queue, by, processes, sizes).map(({ name }) => name);
}

const several = (count: number) => Array.from({ length: count }, (_, i) => job(`${i}`));

describe('take batch', () => {
  test('the most urgent job decides the model, jobs of other models wait', () => {
    const next = take([job('late', { due: 9 }), job('other', { model: other, due: 2 }), job('first', { due: 1 })]);
    expect([next(), next(), next()]).toEqual([['first', 'late'], ['other'], []]);
  });

  test('no more run together than the job allows', () => {
    const next = take(several(6));
    expect([next(), next()]).toEqual([
      ['0', '1', '2', '3'],
      ['4', '5'],
    ]);
  });

  test('a job that is to run alone does', () => {
    const next = take([job('alone', { batch: 1 }), job('a'), job('b')]);
    expect([next(), next()]).toEqual([['alone'], ['a', 'b']]);
  });

  test('what waits is shared among the processes before one gets several', () => {
    expect(take(several(2), 2)()).toEqual(['0']);
    expect(take(several(5), 2)()).toEqual(['0', '1', '2']);
    expect(take(several(4), 4)()).toEqual(['0']);
  });

  test('jobs of unlike shapes do not run together', () => {
    const next = take([job('a'), job('long', { length: 6 }), job('b')]);
    expect([next(), next()]).toEqual([['a', 'b'], ['long']]);
  });

  test('a job for one process is left by the others, and runs by itself', () => {
    const jobs = () => [job('theirs', { only: neighbour }), job('a'), job('b')];
    const [ours, theirs] = [take(jobs()), take(jobs(), 1, neighbour)];
    expect([ours(), ours()]).toEqual([['a', 'b'], []]);
    expect([theirs(), theirs()]).toEqual([['theirs'], ['a', 'b']]);
  });

  test('a model that takes one picture at a time gets one', () => {
    const queue = new DueQueue<NamedJob>();
    for (const one of several(3)) queue.add(one);
    const batch = takeBatch(queue, process, 1, createBatchSizes(keepLines().log));
    expect([batch.length, queue.length]).toEqual([1, 2]);
  });
});
