import type { DueQueue } from '../due-queue.ts';
import type { ModelProcess, RunResult } from '../model-process.ts';
import type { RunnableModel } from '../runnable.ts';
import type { BatchSizes } from './sizes.ts';

/** One picture for one model, waiting for its turn. */
export interface Job {
  model: RunnableModel;
  pixels: Uint8Array;
  /** Pictures of this model that may run together. */
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
  const alike = ({ model, only }: T) => only === undefined && model.sha256 === first.model.sha256;
  const waiting = [...queue].filter(alike).length;
  const count = sizes.choose(first.model, Math.min(first.batch, Math.ceil((1 + waiting) / processes)));
  const others = Array.from({ length: count - 1 }, () => queue.take(alike) as T);
  return [first, ...others];
}

/** The outputs of picture `i` of the `count` of a run. */
export function outputsOf({ outputs }: RunResult, i: number, count: number): Record<string, Float32Array> {
  if (count === 1) return outputs;
  const part = (values: Float32Array) =>
    values.subarray((i * values.length) / count, ((i + 1) * values.length) / count);
  return Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, part(values)]));
}
