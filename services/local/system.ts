import { createMemoryBus } from '../../shared/bus-memory.ts';
import type { Config } from '../../shared/config.ts';
import type { Log } from '../../shared/log.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { type EdgeService, startEdge } from '../edge/service.ts';
import { startExpert } from '../expert/service.ts';

/**
 * Edge and experts on the bus inside this process. Ready when this resolves. `near`: pictures go from one to the other as
 * they are; otherwise packed as for a link, which is what evaluations ask about.
 */
export async function startSystem(config: Config, log: Log, { near }: { near: boolean }): Promise<EdgeService> {
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  const bus = createMemoryBus();
  const edge = await startEdge({ bus, bundle, config, log, near });
  const { registry } = edge.dependencies.metrics;
  try {
    const experts = await startExpert({ bus, bundle, config, log, registry });
    return {
      ...edge,
      async stop() {
        await edge.stop();
        await experts.stop();
        await bus.close();
      },
    };
  } catch (error) {
    await edge.stop();
    throw error;
  }
}
