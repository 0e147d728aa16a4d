import type { Log } from '../../observe/log.ts';
import type { RunResult } from '../model-process.ts';
import type { RunnableModel } from '../runnable.ts';
import { type BatchGain, createBatchGain } from './gain.ts';

/**
 * How many pictures of each model run together: one, until a process that loaded it reports that its graph takes
 * several.
 */
export interface BatchSizes {
  /** How many of `most` waiting pictures should run together. */
  choose(model: RunnableModel, most: number): number;
  /** The result of a run of `count` pictures. */
  record(model: RunnableModel, count: number, result: RunResult): void;
}

export function createBatchSizes(log: Log): BatchSizes {
  /** By digest; null: the model takes one picture at a time. */
  const gains = new Map<string, BatchGain | null>();

  function learn({ id, sha256 }: RunnableModel, takesSeveral: boolean): void {
    const known = gains.get(sha256);
    if (takesSeveral && known === undefined) gains.set(sha256, createBatchGain());
    if (takesSeveral || known === null) return;
    gains.set(sha256, null);
    log.warn({ model: id }, 'the model takes one picture at a time: those that wait for it do not run together');
  }

  return {
    choose: ({ sha256 }, most) => gains.get(sha256)?.choose(most) ?? 1,
    record(model, count, { runMs, loaded }) {
      if (loaded) learn(model, loaded.takesSeveral);
      else gains.get(model.sha256)?.record(count, runMs);
    },
  };
}
