import { loadavg } from 'node:os';
import { readConfig } from '../../shared/config.ts';
import { InferencePool } from '../../shared/inference.ts';
import { createLog } from '../../shared/log.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { toRunnable } from '../../shared/runnable.ts';

/**
 * `npm run -s bench:models`: time of one picture in each model of the bundle, onnxruntime-node, one thread, without
 * queue or transport. The models take turns in blocks, so that a busy machine slows all of them alike, and each is
 * timed with its weights in the processor's caches, as on a device that runs no other.
 */
const BLOCKS = 10;
const BLOCK = 25;
const WARM_UP = 5; // at the start of each block
const ROUNDS = BLOCKS * (BLOCK - WARM_UP);

const bundle = await loadBundle(readConfig().ASK_MODELS_DIR);
const { generalist, experts } = bundle.manifest;
const entries = [generalist, ...experts];
const models = entries.map((entry) => toRunnable(bundle, entry));
const pool = new InferencePool({
  workers: 1,
  threads: 1,
  queueLimit: 1,
  memoryBytes: 1e10,
  log: createLog('error', 'bench'),
});
const times = models.map((): number[] => []);
for (let block = 0; block < BLOCKS; block++) {
  for (const [i, model] of models.entries()) {
    for (let run = -WARM_UP; run < BLOCK - WARM_UP; run++) {
      const pixels = Uint8Array.from({ length: model.size ** 2 * 3 }, () => Math.random() * 256);
      const { runMs } = await pool.run(model, pixels);
      if (run >= 0) times[i]?.push(runMs);
    }
  }
}
await pool.stop();

process.stdout.write(`${ROUNDS} pictures each, one thread, load of the machine ${loadavg()[0]?.toFixed(2)}\n`);
process.stdout.write('model         pixels  precision    p50 ms   p95 ms\n');
for (const [i, { id, inputSize, precision }] of entries.entries()) {
  const sorted = (times[i] as number[]).toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(share * ROUNDS)] as number).toFixed(2).padStart(7);
  process.stdout.write(
    `${id.padEnd(14)}${String(inputSize).padEnd(8)}${precision.padEnd(11)}${at(0.5)}  ${at(0.95)}\n`,
  );
}
