import { connectNats } from '../../shared/bus-nats.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { natsOptions, runProcess } from '../../shared/process.ts';
import { startEdge } from './service.ts';

const usage = 'npm run edge: the generalist behind HTTP; asks experts over NATS';

await runProcess({ name: 'ask-edge', usage }, async (config, log) => {
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  const bus = connectNats(natsOptions(config, 'ask-edge', log));
  await using started = new AsyncDisposableStack();
  started.defer(() => bus.close());
  const edge = await startEdge({ bus, bundle, config, log });
  started.defer(() => edge.stop());
  const running = started.move();
  return { stop: () => running.disposeAsync() };
});
