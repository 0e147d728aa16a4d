import { connectNats } from '../../shared/bus-nats.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { natsOptions, runProcess } from '../../shared/process.ts';
import { startHealth } from './health.ts';
import { startExpert } from './service.ts';

const usage = 'npm run expert: one or several experts, asked over NATS';

await runProcess({ name: 'ask-expert', usage }, async (config, log) => {
  const bundle = await loadBundle(config.ASK_MODELS_DIR);
  const bus = connectNats(natsOptions(config, 'ask-expert', log));
  try {
    const expert = await startExpert({ bus, bundle, config, log });
    const health = await startHealth(config, bus, expert.metrics);
    return {
      async stop() {
        await expert.stop();
        await bus.close();
        await health.stop();
      },
    };
  } catch (error) {
    await bus.close();
    throw error;
  }
});
