import type { Bundle, ModelEntry } from '../../../shared/bundle/load.ts';
import { InferencePool } from '../../../shared/inference/pool.ts';
import { toRunnable } from '../../../shared/inference/runnable.ts';
import { createLog } from '../../../shared/observe/log.ts';

const RUNS = 30;

/** What a picture costs: on the edge in any case, and on top of that when it is escalated. */
interface Cost {
  edge: number;
  escalation: number;
}

/** The largest share of pictures that may be escalated for a mean cost of at most `limit`; negative if none does. */
export function affordable(limit: number, { edge, escalation }: Cost): number {
  if (limit < edge) return -1;
  return escalation === 0 ? 1 : Math.min(1, (limit - edge) / escalation);
}

interface Times {
  edgeMs: number;
  expertMs: number;
}

/** Median milliseconds of the generalist, and mean of the experts' medians, one thread, on this machine. */
export async function measureTimes(bundle: Bundle): Promise<Times> {
  const log = createLog('error', 'calibrate');
  const pool = new InferencePool({ workers: 1, threads: 1, queueLimit: 1, memoryBytes: 1e10, log });
  try {
    const experts: number[] = [];
    for (const expert of bundle.manifest.experts) experts.push(await median(pool, bundle, expert));
    const edgeMs = await median(pool, bundle, bundle.manifest.generalist);
    return { edgeMs, expertMs: experts.reduce((sum, ms) => sum + ms, 0) / experts.length };
  } finally {
    await pool.stop();
  }
}

async function median(pool: InferencePool, bundle: Bundle, entry: ModelEntry): Promise<number> {
  const model = toRunnable(bundle, entry);
  const pixels = Uint8Array.from({ length: model.size ** 2 * 3 }, (_, i) => (i * 37) % 256);
  await pool.warm(model, pixels);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) times.push((await pool.run(model, pixels)).runMs);
  return times.sort((a, b) => a - b)[RUNS / 2] as number;
}
