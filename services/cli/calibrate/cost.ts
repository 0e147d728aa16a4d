import type { Bundle } from '../../../shared/bundle/load.ts';
import { viewCascade } from '../../../shared/bundle/view.ts';
import { InferencePool } from '../../../shared/inference/pool.ts';
import { toInputs, toRunnable } from '../../../shared/inference/runnable.ts';
import { createLog } from '../../../shared/observe/log.ts';

const RUNS = 30;

/** The cost of a picture: on the edge, and on top of that when it is escalated. */
interface Cost {
  edge: number;
  escalation: number;
}

/**
 * The largest share of pictures that may be escalated for a mean cost of at most `limit`; negative if even 0 costs
 * more.
 */
export function affordable(limit: number, { edge, escalation }: Cost): number {
  if (limit < edge) return -1;
  return escalation === 0 ? 1 : Math.min(1, (limit - edge) / escalation);
}

interface Times {
  edgeMs: number;
  expertMs: number;
}

/** Median milliseconds of the generalist, and the mean of the experts' medians, with one thread on this machine. */
export async function measureTimes(bundle: Bundle): Promise<Times> {
  const log = createLog('error', 'calibrate');
  const pool = new InferencePool({ workers: 1, threads: 1, queueLimit: 1, memoryBytes: 1e10, log });
  try {
    const experts: number[] = [];
    const cascade = viewCascade(bundle.manifest);
    for (const { id } of cascade.experts) experts.push(await median(pool, bundle, id));
    const edgeMs = await median(pool, bundle, cascade.generalist.id);
    return { edgeMs, expertMs: experts.reduce((sum, ms) => sum + ms, 0) / experts.length };
  } finally {
    await pool.stop();
  }
}

async function median(pool: InferencePool, bundle: Bundle, id: string): Promise<number> {
  const model = toRunnable(bundle, id);
  const side = model.picture?.side as number;
  const inputs = toInputs(
    model,
    Uint8Array.from({ length: side ** 2 * 3 }, (_, i) => (i * 37) % 256),
  );
  await pool.warm(model, inputs);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) times.push((await pool.run(model, inputs)).runMs);
  return times.sort((a, b) => a - b)[RUNS / 2] as number;
}
