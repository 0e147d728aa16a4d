import type { Tensors } from '../../wire/tensor.ts';
import type { DueQueue } from '../due-queue.ts';
import type { ModelProcess } from '../model-process.ts';
import type { RunnableModel } from '../runnable.ts';
import { haveShapesOf } from './join.ts';
import type { BatchSizes } from './sizes.ts';

/** One item for one model, waiting for its turn. */
export interface Job {
  model: RunnableModel;
  inputs: Tensors;
  /** Items of this model that may run together. */
  batch: number;
  /** When its deadline passes, as `performance.now()`. */
  due: number;
  /** If set, only this process may run it, and not in a batch. */
  only: ModelProcess | undefined;
}

/**
 * Takes the most urgent job that a process may run, and more jobs for the same model up to its share. All processes are
 * kept busy before one of them gets several jobs, and only if batching saves time. An empty list if there is none.
 */
export function takeBatch<T extends Job>(
  queue: DueQueue<T>,
  process: ModelProcess,
  processes: number,
  sizes: BatchSizes,
): T[] {
  const first = queue.take(({ only }) => only === undefined || only === process);
  if (first === undefined) return [];
  if (first.batch === 1 || first.only) return [first];
  const alike = ({ model, inputs, only }: T) =>
    only === undefined && model.sha256 === first.model.sha256 && haveShapesOf(inputs, first.inputs);
  const waiting = [...queue].filter(alike).length;
  const count = sizes.choose(first.model, Math.min(first.batch, Math.ceil((1 + waiting) / processes)));
  const others = Array.from({ length: count - 1 }, () => queue.take(alike) as T);
  return [first, ...others];
}
