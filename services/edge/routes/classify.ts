import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../../shared/errors.ts';
import { inSpan, readTrace, type Span, SpanKind } from '../../../shared/telemetry.ts';
import { mediaTypes, PIXELS_TYPE } from '../../../shared/wire.ts';
import type { AppDependencies } from '../app.ts';
import { type Answer, classify } from '../classify.ts';
import { refuseHalfway, translate } from '../problem.ts';
import { readImage } from '../read-image.ts';
import type { Guest } from '../reception.ts';
import { answerSchema, classifyQuery, MOST_MS, problems, refusals } from '../schemas.ts';

/** When a request's headers had arrived, as `performance.now()`, and its place among those that arrive. */
interface Arrival {
  at: number;
  guest: Guest;
}

const ARRIVAL = 'arrival';

/** `POST /classify`. */
export const classifyRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const schema = {
    summary: 'Classify one image',
    consumes: [...mediaTypes, PIXELS_TYPE, 'multipart/form-data', 'application/json'],
    body: z
      .any()
      .describe(
        'The image itself (image/x-rgb8; width=W; height=H: its pixels, 8-bit RGB, row by row), a form with one file named image, or {"image": base64}',
      ),
    querystring: classifyQuery,
    response: { 200: answerSchema, ...refusals, ...problems },
  };
  // Not in a WeakMap: V8's collections of young objects keep its values, and the guest's `drop` refers to the request.
  app.decorateRequest(ARRIVAL, null);
  const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
    const phase = dependencies.phase();
    if (phase !== 'ready') throw new AppError(phase, `the service is ${phase}`);
    const deadlineMs = wanted(request) ?? dependencies.deadlineMs;
    dependencies.admission.check(deadlineMs);
    const drop = (why: AppError) => refuseHalfway(why, request.raw, reply.raw);
    const guest = dependencies.reception.take(request.raw, deadlineMs, drop);
    reply.raw.once('close', guest.leave);
    request.setDecorator<Arrival>(ARRIVAL, { at: performance.now(), guest });
  };
  app.post('/classify', { schema, onRequest }, (request, reply) => {
    const answer = async (): Promise<Answer> => {
      const { query } = request;
      const caller = whileListening(reply);
      const image = await readImage(request);
      // One deadline, from the headers on: what the body took to arrive is gone.
      const { at, guest } = request.getDecorator<Arrival>(ARRIVAL);
      guest.weigh('pixels' in image ? image.pixels.length : image.length);
      const spent = performance.now() - at;
      const deadlineMs = Math.max(1, Math.round((query.deadlineMs ?? dependencies.deadlineMs) - spent));
      dependencies.admission.enter(deadlineMs);
      reply.raw.once('close', dependencies.admission.leave);
      const trace = await readTrace(request.headers);
      return classify(dependencies, image, { ...query, deadlineMs, caller, trace });
    };
    const serve = async (span: Span) => {
      span.setAttributes({ 'http.request.method': 'POST', 'http.route': '/classify' });
      try {
        const answered = await answer();
        span.setAttributes({ 'http.response.status_code': 200, 'ask.request_id': answered.id });
        return reply.send(answered);
      } catch (thrown) {
        const error = translate(thrown as FastifyError, request.raw);
        span.setAttribute('http.response.status_code', error.status);
        throw error;
      }
    };
    return inSpan('POST /classify', SpanKind.SERVER, serve, request.headers);
  });
};

/** The deadline that the query asks for, before it is checked: who cannot be served need not send a body. */
function wanted({ query }: FastifyRequest): number | undefined {
  const { deadlineMs } = query as { deadlineMs?: unknown };
  return Number(deadlineMs) > 0 ? Math.min(MOST_MS, Number(deadlineMs)) : undefined;
}

/** Aborts when the caller hangs up. Fastify's `request.signal` does so as soon as the body has been read. */
function whileListening(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new AppError('client-closed', 'the caller hung up'));
  });
  return controller.signal;
}
