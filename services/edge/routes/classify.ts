import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { AppError } from '../../../shared/errors.ts';
import { extractContext, inSpan, SpanKind } from '../../../shared/telemetry.ts';
import type { AppDependencies } from '../app.ts';
import { classify } from '../classify.ts';
import { readImage } from '../read-image.ts';
import { answerSchema, classifyQuery, problemSchema } from '../schemas.ts';

/** `POST /classify`. */
export const classifyRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const schema = {
    summary: 'Classify one image',
    consumes: ['image/jpeg', 'image/png', 'image/webp', 'multipart/form-data', 'application/json'],
    querystring: classifyQuery,
    response: { 200: answerSchema, '4xx': problemSchema, '5xx': problemSchema },
  };
  const onRequest = async () => {
    const phase = dependencies.phase();
    if (phase !== 'ready') throw new AppError(phase, `the service is ${phase}`);
  };
  app.post('/classify', { schema, onRequest }, (request, reply) =>
    inSpan(
      'POST /classify',
      SpanKind.SERVER,
      async (span) => {
        const { query } = request;
        const answer = await classify(dependencies, await readImage(request), {
          ...query,
          deadlineMs: query.deadlineMs ?? dependencies.deadlineMs,
          signal: request.signal,
        });
        span.setAttributes({
          'http.request.method': 'POST',
          'http.route': '/classify',
          'http.response.status_code': 200,
          'ask.request_id': answer.id,
        });
        return reply.send(answer);
      },
      extractContext(request.headers),
    ),
  );
};
