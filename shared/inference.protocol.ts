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
  /** `holds`: digests of the models that it has loaded, if the one of this job was loaded for it. */
  | { job: number; outputs: Record<string, Float32Array>; runMs: number; holds?: string[] }
  | { job: number; failure: string };
