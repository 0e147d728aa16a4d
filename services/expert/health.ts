import Fastify from 'fastify';
import type { Bus } from '../../shared/bus.ts';
import type { Config } from '../../shared/config.ts';
import type { ExpertMetrics } from '../../shared/metrics.ts';

/** Probes and metrics of an expert service, if `ASK_HEALTH_PORT` is set. Ready while it can be asked over the bus. */
export async function startHealth(
  config: Config,
  bus: Bus,
  metrics: ExpertMetrics,
): Promise<{ stop(): Promise<void> }> {
  if (config.ASK_HEALTH_PORT === undefined) return { stop: async () => {} };
  const app = Fastify();
  app.get('/healthz', async () => ({ status: 'alive' }));
  app.get('/readyz', async (_, reply) =>
    reply.code(bus.connected ? 200 : 503).send({ bus: { kind: bus.kind, connected: bus.connected } }),
  );
  app.get('/metrics', async (_, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  await app.listen({ host: config.HOST, port: config.ASK_HEALTH_PORT });
  return { stop: () => app.close() };
}
