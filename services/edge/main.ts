import { connectNats } from '../../shared/bus-nats.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { natsOptions, runProcess } from '../../shared/process.ts';
import { startEdge } from './service.ts';

const usage = 'npm run edge: the generalist behind HTTP; asks experts over NATS';

await runProcess({ name: 'ask-edge', usage }, async (config, log) => {
  const bundle = await loadBundle(config.ASK_MODELS_DIR);
  const bus = connectNats(natsOptions(config, 'ask-edge', log));
  try {
    const edge = await startEdge({ bus, bundle, config, log });
    return {
      async stop() {
        await edge.stop();
        await bus.close();
      },
    };
  } catch (error) {
    await bus.close();
    throw error;
  }
});
