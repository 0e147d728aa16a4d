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
  /** Only this process may do it, by itself. */
  only: ModelProcess | undefined;
}

/**
 * Takes out the most urgent job that a process may do, and of those for the same model as many more as are its share:
 * all processes are to be busy before one of them gets several, and only if that saves time. None: an empty list.
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
