import type { Tensors } from '../wire/tensor.ts';
import type { RunnableModel } from './runnable.ts';

/** Messages between the pool and its processes. */
export interface WorkerRequest {
  job: number;
  model: RunnableModel;
  inputs: Tensors;
  /** How many items the inputs hold. */
  count: number;
}

export type WorkerReply =
  | { ready: true }
  | { job: number; outputs: Tensors; runMs: number; loaded?: Loaded }
  | { job: number; failure: string };

/** Sent with the first run of a model after loading it. */
export interface Loaded {
  /** Digests of the models that the process has loaded. */
  holds: string[];
  /** The graph takes several items in one run. */
  takesSeveral: boolean;
}
