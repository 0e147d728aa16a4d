import type { Deadline } from '../../shared/deadline.ts';
import type { Inference, InferencePool } from '../../shared/inference.ts';
import type { RunnableModel } from '../../shared/runnable.ts';

export interface BatchOptions {
  /** Pictures computed at once; 1 turns batching off. */
  max: number;
  /** Milliseconds that the first picture of a batch waits for others. */
  waitMs: number;
}

interface Waiting {
  pixels: Uint8Array;
  deadline: Deadline;
  resolve(inference: Inference): void;
  reject(error: unknown): void;
}

/**
 * Runs pictures of one model together. Pays on accelerators; on a CPU a batch takes as long as its pictures one by one.
 * A picture whose deadline passes while it waits is left out; a batch all of whose pictures are late never runs.
 */
export function createBatcher(pool: InferencePool, model: RunnableModel, options: BatchOptions) {
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting.filter(({ deadline }) => !deadline.signal.aborted);
    waiting = [];
    if (batch.length === 0) return;
    const everyone = new AbortController();
    const leave = () => {
      if (batch.every(({ deadline }) => deadline.signal.aborted)) everyone.abort(batch[0]?.deadline.signal.reason);
    };
    for (const { deadline } of batch) deadline.signal.addEventListener('abort', leave);
    try {
      const pixels = Buffer.concat(batch.map((one) => one.pixels));
      const at = Math.min(...batch.map(({ deadline }) => deadline.at));
      const all = await pool.run(model, pixels, { count: batch.length, deadline: { at, signal: everyone.signal } });
      batch.forEach(({ resolve }, i) => {
        resolve({ ...all, outputs: slice(all.outputs, i, batch.length) });
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      for (const { deadline } of batch) deadline.signal.removeEventListener('abort', leave);
    }
  }

  return {
    run(pixels: Uint8Array, deadline: Deadline): Promise<Inference> {
      if (options.max === 1) return pool.run(model, pixels, { deadline });
      return new Promise((resolve, reject) => {
        deadline.signal.addEventListener('abort', () => reject(deadline.signal.reason), { once: true });
        waiting.push({ pixels, deadline, resolve, reject });
        if (waiting.length >= options.max) void flush();
        else timer ??= setTimeout(flush, options.waitMs);
      });
    },
  };
}

function slice(outputs: Record<string, Float32Array>, i: number, count: number): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, values]) => {
      const length = values.length / count;
      return [name, values.subarray(i * length, (i + 1) * length)];
    }),
  );
}
