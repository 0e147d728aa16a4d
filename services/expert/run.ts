import { connectNats } from '../../shared/bus-nats.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { natsOptions, runProcess } from '../../shared/process.ts';
import { startHealth } from './health.ts';
import { startExpert } from './service.ts';

const usage = 'npm run expert: one or several experts, asked over NATS';

await runProcess({ name: 'ask-expert', usage }, async (config, log) => {
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  const bus = connectNats(natsOptions(config, 'ask-expert', log));
  await using started = new AsyncDisposableStack();
  started.defer(() => bus.close());
  const health = await startHealth(config, bus);
  started.defer(() => health.stop());
  const expert = await startExpert({ bus, bundle, config, log });
  started.defer(() => expert.stop());
  health.ready(expert.metrics.registry);
  const running = started.move();
  return { stop: () => running.disposeAsync() };
});
