import type { Deadline } from '../request/deadline.ts';
import type { Tensors } from '../wire/tensor.ts';
import type { Job } from './batching/take-batch.ts';
import type { ModelProcess } from './model-process.ts';
import type { RunnableModel } from './runnable.ts';

export interface Inference {
  /** The outputs of this item alone. */
  outputs: Tensors;
  queueMs: number;
  /** Time of the run that this item was part of. */
  runMs: number;
  /** The model was loaded for this run. */
  loaded: boolean;
}

export interface RunOptions {
  /** Largest batch of this model. Default: 1. */
  batch?: number;
  /** Jobs run in the order of their deadlines; those without one come last. */
  deadline?: Pick<Deadline, 'at' | 'signal'>;
}

/** A run that somebody waits for. */
export interface PoolJob extends Job {
  queuedAt: number;
  attempts: number;
  /** Nobody waits for its result any more. */
  abandoned: boolean;
  settled: PromiseWithResolvers<Inference>;
}

/** `only`: the one process that may run it. */
export function createJob(
  model: RunnableModel,
  inputs: Tensors,
  { batch = 1, deadline }: RunOptions,
  only: ModelProcess | undefined,
): PoolJob {
  const due = deadline?.at ?? Number.POSITIVE_INFINITY;
  const settled = Promise.withResolvers<Inference>();
  return { model, inputs, batch, due, queuedAt: performance.now(), attempts: 0, only, abandoned: false, settled };
}
