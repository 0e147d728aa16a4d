import { loadavg } from 'node:os';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { ModelProcess } from '../../shared/inference/model-process.ts';
import { createRunLimit } from '../../shared/inference/run-limit.ts';
import { toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import { readArguments } from '../../shared/service/arguments.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { type Distribution, summarise } from './statistics.ts';

const help = `npm run -s bench:models
Time of a picture in each model of the bundle, alone and in runs of several, by onnxruntime-node with one thread,
without queue or transport. ASK_EXECUTION_PROVIDERS says what they run on; on an
accelerator larger runs are timed, too.`;

// The models take turns in blocks, so that a busy machine slows all of them alike, and each is timed with its weights
// in the processor's caches, as on a device that runs no other.
const BLOCKS = 10;
const RUNS = 20; // of a block, each of one picture
const LEAST_RUNS = 3; // of a block, of several pictures
const WARM_UP = 5;

readArguments({ name: 'bench:models', help: () => help });
const { ASK_MODELS_DIR, ASK_EXECUTION_PROVIDERS: providers } = readConfig();
const accelerated = providers[0] !== 'cpu';
const TOGETHER = accelerated ? [1, 2, 4, 8, 16, 32] : [1, 2, 4, 8];

const bundle = await loadBundle(ASK_MODELS_DIR);
const { generalist, experts } = viewCascade(bundle.manifest);
const entries = [generalist, ...experts];
const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
const worker = new ModelProcess({ threads: 1, providers }, createRunLimit(60_000), {
  onReady: resolve,
  onError: reject,
  onExit: () => reject(new Error('the model process ended')),
});
await ready;
const times = entries.map(() => TOGETHER.map((): number[] => []));
for (let block = 0; block < BLOCKS; block++) {
  for (const [i, entry] of entries.entries()) {
    const model = toRunnable(bundle, entry.id);
    for (const [j, count] of TOGETHER.entries()) {
      const runs = Math.max(LEAST_RUNS, Math.ceil(RUNS / count));
      for (let run = -WARM_UP; run < runs; run++) {
        const noise = () =>
          toInputs(
            model,
            Uint8Array.from({ length: entry.rule.side ** 2 * 3 }, () => Math.random() * 256),
          );
        const { runMs } = await worker.run(model, Array.from({ length: count }, noise));
        if (run >= 0) times[i]?.[j]?.push(runMs / count);
      }
    }
  }
}
await worker.stop();

const where = accelerated ? `on ${providers.join(',')}, ` : '';
const load = loadavg()[0]?.toFixed(2);
process.stdout.write(`${BLOCKS * RUNS} pictures alone, ${where}one thread, load of the machine ${load}\n`);
process.stdout.write('                                    ms a picture alone   p50 in runs of\n');
const counts = TOGETHER.slice(1).map((count) => String(count).padStart(8));
process.stdout.write(`model         pixels  precision       p50       p95${counts.join('')}\n`);
for (const [i, { id, rule, model }] of entries.entries()) {
  const [alone, ...together] = (times[i] as number[][]).map(summarise) as [Distribution, ...Distribution[]];
  const cells = [alone.p50, alone.p95].map((ms) => ms.toFixed(2).padStart(10));
  const more = together.map(({ p50 }) => p50.toFixed(2).padStart(8));
  process.stdout.write(
    [id.padEnd(14), String(rule.networkSide).padEnd(8), model.precision.padEnd(9), ...cells, ...more, '\n'].join(''),
  );
}
