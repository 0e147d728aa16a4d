import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { pictureInput } from '../../../../shared/bundle/inputs.ts';
import type { ModelEntry } from '../../../../shared/bundle/model.ts';
import { classesOf } from '../../../../shared/bundle/view.ts';
import type { AppDependencies } from '../dependencies.ts';
import { answered, expertsSchema, open, problems, readinessSchema, refusals } from '../schemas.ts';

const tags = ['status'];
const health = {
  ...open,
  tags,
  operationId: 'getHealth',
  summary: 'Whether the process lives',
  response: { 200: answered('It lives', z.object({ status: z.literal('alive') })), ...problems },
};
const readiness = {
  ...open,
  tags,
  operationId: 'getReadiness',
  summary: 'Whether pictures are answered, and how the bus and the experts are',
  response: { 200: answered('They are', readinessSchema), 503: answered('They are not', readinessSchema), ...problems },
};
const metricsText = {
  tags,
  operationId: 'getMetrics',
  summary: 'Metrics in the text format of Prometheus',
  response: {
    200: { description: 'The metrics', content: { 'text/plain': { schema: z.string() } } },
    ...refusals,
    ...problems,
  },
};
const experts = {
  tags,
  operationId: 'listExperts',
  summary: 'The experts of the bundle, and who hosts them',
  response: { 200: answered('The experts', expertsSchema), ...refusals, ...problems },
};

/** Health, readiness, metrics, the experts, and the API's own description. */
export const statusRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const { models, labels, provenance } = dependencies.bundle.manifest;
  const { admission, bus, bundle, deadlineMs, directory, metrics, phase, works } = dependencies;

  app.get('/healthz', { schema: health }, async () => ({ status: 'alive' as const }));

  app.get('/readyz', { schema: readiness }, async (_, reply) => {
    const instances = await directory.list();
    const byId = Object.fromEntries(
      bundle.there.map((id) => {
        const { sha256 } = models[id] as ModelEntry;
        const present = instances.filter(({ expert, digest }) => expert === id && digest === sha256).length;
        return [id, { instances: present, circuit: dependencies.health(id).state }];
      }),
    );
    const missing = Object.keys(byId).filter((id) => byId[id]?.instances === 0);
    // Load balancers send requests to other edges before they are refused here.
    const trouble = !works() ? 'model-failed' : admission.nearlyFull(deadlineMs) ? 'overloaded' : undefined;
    const status = (phase() === 'ready' && trouble) || phase();
    return reply
      .code(status === 'ready' ? 200 : 503)
      .send({ status, bus: { kind: bus.kind, connected: bus.connected }, experts: byId, missing });
  });

  app.get('/metrics', { schema: metricsText }, async (_, reply) => {
    const { registry } = metrics;
    return reply.type(registry.contentType).send(await registry.metrics());
  });

  app.get('/experts', { schema: experts }, async () => {
    const instances = await directory.list();
    return bundle.there.map((id) => {
      const model = models[id] as ModelEntry;
      return {
        id,
        classes: classesOf(bundle.manifest, id).map((label) => labels[label] as string),
        inputSize: pictureInput(model)?.rule.networkSide ?? null,
        precision: model.precision,
        figures: model.figures,
        licences: provenance.licences ?? {},
        instances: instances.filter((instance) => instance.expert === id),
      };
    });
  });

  app.get('/openapi.json', { schema: { ...open, hide: true } }, async () => app.swagger());
};
