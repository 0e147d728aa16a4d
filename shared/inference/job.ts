import type { Deadline } from '../request/deadline.ts';
import type { Job } from './batching/take-batch.ts';
import type { ModelProcess } from './model-process.ts';
import type { RunnableModel } from './runnable.ts';

export interface Inference {
  /** Each output's values for the picture. */
  outputs: Record<string, Float32Array>;
  queueMs: number;
  /** Of the run that this picture was part of. */
  runMs: number;
  /** The model had to be loaded first. */
  loaded: boolean;
}

export interface RunOptions {
  /** Pictures of this model that may run together, if so many wait. Default: 1. */
  batch?: number;
  /** Jobs run in the order of their deadlines, those without one last. */
  deadline?: Pick<Deadline, 'at' | 'signal'>;
}

/** A run that somebody waits for. */
export interface PoolJob extends Job {
  queuedAt: number;
  attempts: number;
  /** Nobody waits for it any more. */
  abandoned: boolean;
  settled: PromiseWithResolvers<Inference>;
}

/** `only`: the one process that may do it. */
export function createJob(
  model: RunnableModel,
  pixels: Uint8Array,
  { batch = 1, deadline }: RunOptions,
  only: ModelProcess | undefined,
): PoolJob {
  const due = deadline?.at ?? Number.POSITIVE_INFINITY;
  const settled = Promise.withResolvers<Inference>();
  return { model, pixels, batch, due, queuedAt: performance.now(), attempts: 0, only, abandoned: false, settled };
}

/** A picture for a run whose answer does not matter. */
export function blank({ size }: RunnableModel): Uint8Array {
  return new Uint8Array(3 * size ** 2);
}
