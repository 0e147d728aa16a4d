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
  signal: AbortSignal;
  resolve(inference: Inference): void;
  reject(error: unknown): void;
}

/**
 * Runs pictures of one model together. Pays on accelerators; on a CPU a batch takes as long as its pictures one by one.
 * A picture whose signal aborts while it waits is left out; a batch all of whose pictures aborted never runs.
 */
export function createBatcher(pool: InferencePool, model: RunnableModel, options: BatchOptions) {
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting.filter(({ signal }) => !signal.aborted);
    waiting = [];
    if (batch.length === 0) return;
    const everyone = new AbortController();
    const leave = () => {
      if (batch.every(({ signal }) => signal.aborted)) everyone.abort(batch[0]?.signal.reason);
    };
    for (const { signal } of batch) signal.addEventListener('abort', leave);
    try {
      const pixels = Buffer.concat(batch.map((one) => one.pixels));
      const all = await pool.run(model, pixels, { count: batch.length, signal: everyone.signal });
      batch.forEach(({ resolve }, i) => {
        resolve({ ...all, outputs: slice(all.outputs, i, batch.length) });
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      for (const { signal } of batch) signal.removeEventListener('abort', leave);
    }
  }

  return {
    run(pixels: Uint8Array, signal: AbortSignal): Promise<Inference> {
      if (options.max === 1) return pool.run(model, pixels, { signal });
      return new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        waiting.push({ pixels, signal, resolve, reject });
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
