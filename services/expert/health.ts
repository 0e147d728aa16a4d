import Fastify from 'fastify';
import type { Registry } from 'prom-client';
import type { Bus } from '../../shared/bus/bus.ts';
import type { Config } from '../../shared/settings/settings.ts';

export interface Health {
  /** Called once the experts are loaded; `registry` holds their metrics. */
  ready(registry: Registry): void;
  stop(): Promise<void>;
}

/**
 * Probes and metrics of an expert service, if `ASK_HEALTH_PORT` is set. Ready while all its experts can be reached over
 * the bus.
 */
export async function startHealth(config: Config, bus: Bus): Promise<Health> {
  if (config.ASK_HEALTH_PORT === undefined) return { ready: () => {}, stop: async () => {} };
  let metrics: Registry | undefined;
  const app = Fastify({ forceCloseConnections: true });
  app.get('/healthz', async () => ({ status: 'alive' }));
  app.get('/readyz', async (_, reply) => {
    const { kind, connected, refused } = bus;
    return reply
      .code(metrics && connected && refused.length === 0 ? 200 : 503)
      .send({ loaded: metrics !== undefined, bus: { kind, connected, refused } });
  });
  app.get('/metrics', async (_, reply) =>
    metrics ? reply.type(metrics.contentType).send(await metrics.metrics()) : reply.code(503).send(),
  );
  await app.listen({ host: config.HOST, port: config.ASK_HEALTH_PORT });
  return {
    ready(registry) {
      metrics = registry;
    },
    stop: () => app.close(),
  };
}
