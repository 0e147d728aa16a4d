import { loadBundle } from '../../shared/bundle/load.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createPool } from '../../shared/inference/create-pool.ts';
import { natsOptions, runProcess } from '../../shared/service/run-process.ts';

/**
 * Experts and their broker may start at the same time as the edge. After this time nobody waits for one that is
 * missing.
 */
const GRACE_MS = 10_000;

const usage = 'npm run edge: the generalist behind HTTP; asks experts over NATS';

await runProcess({ name: 'ask-edge', usage }, async (config, log) => {
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  const bus = connectNats(natsOptions(config, 'ask-edge', log));
  await using started = new AsyncDisposableStack();
  started.defer(() => bus.close());
  const pool = started.use(createPool(config, config.ASK_EDGE_QUEUE, log));
  const { startEdge } = await import('./service.ts'); // loaded while the model processes start
  const edge = await startEdge({
    bus,
    bundle,
    config,
    log,
    pool,
    expected: { experts: bundle.there, graceMs: GRACE_MS },
  });
  started.defer(() => edge.stop());
  const running = started.move();
  return { stop: () => running.disposeAsync() };
});
