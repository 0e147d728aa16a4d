import { loadBundle } from '../../shared/bundle/load.ts';
import { settingsKinds } from '../../shared/bundle/strategies.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createPool, expertMemory } from '../../shared/inference/create-pool.ts';
import { natsOptions, runProcess } from '../../shared/service/run-process.ts';
import { startHealth } from './health.ts';

const usage = 'npm run expert: one or several experts, asked over NATS';

await runProcess({ name: 'ask-expert', usage }, async (config, log) => {
  // Told which models to host, it need not know how a newer edge uses them.
  const passOver = config.ASK_EXPERTS !== undefined;
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY, settingsKinds, passOver);
  const bus = connectNats(natsOptions(config, 'ask-expert', log));
  await using started = new AsyncDisposableStack();
  started.defer(() => bus.close());
  const pool = started.use(createPool(config, config.ASK_EXPERT_QUEUE, log, expertMemory(config)));
  const health = await startHealth(config, bus);
  started.defer(() => health.stop());
  const { startExpert } = await import('./service.ts'); // loaded while the model processes start
  const expert = await startExpert({ bus, bundle, config, log, pool });
  started.defer(() => expert.stop());
  health.ready(expert.metrics.registry);
  const running = started.move();
  return { stop: () => running.disposeAsync() };
});
