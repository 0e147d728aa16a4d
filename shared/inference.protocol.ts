import type { RunnableModel } from './runnable.ts';

/** What the pool and its processes say to each other. */
export interface WorkerRequest {
  job: number;
  model: RunnableModel;
  pixels: Uint8Array;
  count: number;
}

export type WorkerReply =
  | { ready: true }
  | { job: number; outputs: Record<string, Float32Array>; runMs: number; loaded: boolean }
  | { job: number; failure: string };
