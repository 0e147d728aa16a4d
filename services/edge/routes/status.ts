import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { AppDependencies } from '../app.ts';
import { open, refusals } from '../schemas.ts';

const answers = (description: string) => ({ response: { 200: z.any().describe(description), ...refusals } });

/** Health, readiness, metrics, the experts, and the API's own description. */
export const statusRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const { admission, bus, bundle, deadlineMs, directory, health, metrics, phase, works } = dependencies;

  app.get('/healthz', { schema: open }, async () => ({ status: 'alive' }));

  app.get('/readyz', { schema: open }, async (_, reply) => {
    const instances = await directory.look();
    const experts = Object.fromEntries(
      bundle.manifest.experts.map(({ id, sha256 }) => {
        const present = instances.filter(({ expert, digest }) => expert === id && digest === sha256).length;
        return [id, { instances: present, circuit: health(id).state }];
      }),
    );
    const missing = Object.keys(experts).filter((id) => experts[id]?.instances === 0);
    // Whoever spreads requests over several edges sends them elsewhere before they are refused here.
    const trouble = !works() ? 'model-failed' : admission.nearlyFull(deadlineMs) ? 'overloaded' : undefined;
    const status = (phase() === 'ready' && trouble) || phase();
    return reply
      .code(status === 'ready' ? 200 : 503)
      .send({ status, bus: { kind: bus.kind, connected: bus.connected }, experts, missing });
  });

  app.get('/metrics', { schema: answers('In the text format of Prometheus') }, async (_, reply) => {
    const { registry } = metrics;
    return reply.type(registry.contentType).send(await registry.metrics());
  });

  app.get('/experts', { schema: answers('The experts of the bundle and who hosts them') }, async () => {
    const instances = await directory.look();
    return bundle.manifest.experts.map((expert) => ({
      id: expert.id,
      classes: expert.classes.map((label) => bundle.manifest.labels[label]),
      inputSize: expert.inputSize,
      precision: expert.precision,
      figures: expert.figures,
      instances: instances.filter((instance) => instance.expert === expert.id),
    }));
  });

  app.get('/openapi.json', { schema: { ...open, hide: true } }, async () => app.swagger());
};
