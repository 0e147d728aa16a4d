import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ATTRIBUTES } from '../../../../shared/observe/names.ts';
import { inSpan, readTrace, type Span, SpanKind } from '../../../../shared/observe/telemetry.ts';
import { AppError } from '../../../../shared/request/errors.ts';
import { type Answer, createAnswerSchema } from '../../answer.ts';
import { classify } from '../../classify.ts';
import type { Place } from '../../load/reception.ts';
import { readPicture } from '../body/read-picture.ts';
import type { AppDependencies } from '../dependencies.ts';
import { refuseHalfway, translate } from '../problem.ts';
import { MAX_MS, type Query, type QuerySchema } from '../query.ts';
import { answered, problems, refusals } from '../schemas.ts';

/** What is known of a request when its headers have arrived. */
interface Arrival {
  /** When that was, as `performance.now()`. */
  at: number;
  /** Its place among those that arrive. */
  place: Place;
  /** Aborts when nobody waits for an answer any more, or its body takes too long. */
  signal: AbortSignal;
  /** What it says that its body is. */
  type: string;
  /** The query as it came: without defaults. */
  asked: Record<string, unknown>;
}

const ARRIVAL = 'arrival';

/** `POST /classify`. */
export const classifyRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const { querySchema } = dependencies;
  const decisions = [...new Set([...dependencies.strategies.values()].map(({ kind }) => kind.decision))];
  const answerSchema = createAnswerSchema(decisions.length === 1 ? (decisions[0] as z.ZodType) : z.union(decisions));
  const schema = {
    operationId: 'classify',
    tags: ['classify'],
    summary: 'Classify one picture',
    querystring: querySchema,
    response: { 200: answered('The answer', answerSchema), ...refusals, ...problems },
  };
  const limits = {
    maxBodyBytes: dependencies.maxBodyBytes,
    options: Object.keys(querySchema.shape),
    parseJson: app.getDefaultJsonParser('error', 'error'),
  };
  // The handler reads the body: only then is the query known to be right, and the bytes decide what they are.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_, __, done) => done(null));
  // Not in a WeakMap: V8's collections of young objects keep its values, and the place's `evict` refers to the request.
  app.decorateRequest(ARRIVAL, null);
  const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
    const { headers } = request.raw;
    const phase = dependencies.phase();
    if (phase !== 'ready') throw new AppError(phase, `the service is ${phase}`);
    const deadlineMs = wanted(request) ?? dependencies.deadlineMs;
    dependencies.admission.check(deadlineMs);
    const caller = whileListening(reply);
    const evict = (why: AppError) => {
      if (request.raw.complete) caller.abort(why);
      else refuseHalfway(why, request.raw, reply.raw, reply.getHeaders());
    };
    const place = dependencies.reception.admit(request.raw, deadlineMs, evict);
    reply.raw.once('close', place.leave);
    const { 'content-type': type = '' } = headers;
    delete headers['content-type']; // Fastify would refuse a malformed one before anyone could look at the bytes
    const asked = request.query as Record<string, unknown>;
    request.setDecorator<Arrival>(ARRIVAL, { at: performance.now(), place, signal: caller.signal, type, asked });
  };
  app.post('/classify', { schema, onRequest }, (request, reply) => {
    const answer = async (): Promise<Answer> => {
      const { at, place, signal, type, asked } = request.getDecorator<Arrival>(ARRIVAL);
      const { picture, fields } = await readPicture(request, { type, signal, claim: place.claim }, limits);
      const options = Object.keys(fields).length > 0 ? merge(querySchema, asked, fields) : (request.query as Query);
      // One deadline, from the headers on: what the body took to arrive is gone.
      place.resize('pixels' in picture ? picture.pixels.length : picture.length);
      const spent = performance.now() - at;
      const deadlineMs = Math.max(1, Math.round((options.deadlineMs ?? dependencies.deadlineMs) - spent));
      dependencies.admission.enter(deadlineMs);
      reply.raw.once('close', dependencies.admission.leave);
      const trace = await readTrace(request.headers);
      return classify(dependencies, picture, { ...options, deadlineMs, caller: signal, trace });
    };
    const serve = async (span: Span) => {
      span.setAttributes({ 'http.request.method': 'POST', 'http.route': '/classify' });
      try {
        const answered = await answer();
        span.setAttributes({ 'http.response.status_code': 200, [ATTRIBUTES.requestId]: answered.id });
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

/** What a body says beside its picture counts as the query's, which goes before it; all of it must be right. */
function merge(schema: QuerySchema, asked: Record<string, unknown>, fields: Record<string, unknown>): Query {
  const known = Object.fromEntries(Object.entries(fields).filter(([name]) => Object.hasOwn(schema.shape, name)));
  const { error } = schema.safeParse(known);
  const [issue] = error?.issues ?? [];
  if (issue) throw new AppError('invalid-parameter', `body/${issue.path.join('/')} ${issue.message}`);
  return schema.parse({ ...known, ...asked }) as Query;
}

/** The deadline that the query asks for, before it is checked: who cannot be served need not send a body. */
function wanted({ query }: FastifyRequest): number | undefined {
  const { deadlineMs } = query as { deadlineMs?: unknown };
  return Number(deadlineMs) > 0 ? Math.min(MAX_MS, Number(deadlineMs)) : undefined;
}

/** Aborts when the caller hangs up. Fastify's `request.signal` does so as soon as the body has been read. */
function whileListening(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new AppError('client-closed', 'the caller hung up'));
  });
  return controller;
}
