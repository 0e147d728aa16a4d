import { type Bundle, loadBundle } from '../../shared/bundle/load.ts';
import { createMemoryBus } from '../../shared/bus/memory.ts';
import { createPool, expertMemory } from '../../shared/inference/create-pool.ts';
import { createExpertMetrics } from '../../shared/observe/expert-metrics.ts';
import type { Log } from '../../shared/observe/log.ts';
import type { Config } from '../../shared/settings/settings.ts';
import type { EdgeService } from '../edge/service.ts';

export interface SystemOptions {
  /** Pixels go to experts as they are; otherwise encoded as for a network, which evaluations measure. */
  near: boolean;
  /** Whether slow experts are hedged. Default: unless `near`. */
  hedges?: boolean;
}

/** Edge and experts on the bus inside this process. Ready when this resolves. */
export async function startSystem(config: Config, log: Log, options: SystemOptions): Promise<EdgeService> {
  const bundle = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  // One pool for both: more processes than cores would interrupt each other, with cold caches for both.
  const memory = expertMemory(config, bytesOf(bundle));
  const pool = createPool(config, config.ASK_EDGE_QUEUE + config.ASK_EXPERT_QUEUE, log, memory);
  await using started = new AsyncDisposableStack();
  started.use(pool);
  // The model processes start while the services' code is loaded.
  const { startEdge } = await import('../edge/service.ts');
  const { chooseExperts, startExpert } = await import('../expert/service.ts');
  const bus = createMemoryBus();
  const common = { bus, bundle, config, log, pool };
  const ids = chooseExperts(bundle, config.ASK_EXPERTS).map(({ id }) => id);
  const metrics = createExpertMetrics(ids); // so that they read 0 before the experts are there
  const { registry } = metrics;
  const edge = await startEdge({
    ...common,
    ...options,
    registry,
    expected: { experts: ids, graceMs: Number.POSITIVE_INFINITY },
  });
  started.defer(edge.stop);
  const hosted = await startExpert({ ...common, metrics });
  started.move();
  return {
    ...edge,
    async stop() {
      await edge.stop();
      await hosted.stop();
      await pool.stop();
      await bus.close();
    },
  };
}

/** Bytes of the model files that stay loaded. */
function bytesOf({ here, manifest }: Bundle): number {
  return here.reduce((sum, id) => sum + (manifest.models[id]?.bytes ?? 0), 0);
}
