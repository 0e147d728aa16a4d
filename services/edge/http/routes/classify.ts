import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ATTRIBUTES } from '../../../../shared/observe/names.ts';
import { inSpan, readTrace, type Span, SpanKind } from '../../../../shared/observe/telemetry.ts';
import { AppError } from '../../../../shared/request/errors.ts';
import { type Answer, createAnswerSchema } from '../../answer.ts';
import { classify } from '../../classify.ts';
import type { Place } from '../../load/reception.ts';
import type { PreparedStrategy } from '../../strategies/prepare.ts';
import { readPicture } from '../body/read-picture.ts';
import type { AppDependencies } from '../dependencies.ts';
import { refuseHalfway, translate } from '../problem.ts';
import { MAX_MS, type Query, type QuerySchema } from '../query.ts';
import { answered, problems, refusals } from '../schemas.ts';

/** What is known of a request when its headers have arrived. */
interface Arrival {
  /** When that was, as `performance.now()`. */
  at: number;
  /** Its place in the reception. */
  place: Place;
  /** Aborts when the caller has gone or the body takes too long. */
  signal: AbortSignal;
  /** The media type that the request states. */
  type: string;
  /** The query as it came: without defaults. */
  asked: Record<string, unknown>;
}

const ARRIVAL = 'arrival';

/** `POST /classify`. */
export const classifyRoutes: FastifyPluginAsyncZod<AppDependencies> = async (app, dependencies) => {
  const { querySchema } = dependencies;
  const settle = (query: Query) => (dependencies.strategies.get(query.strategy) as PreparedStrategy).settle(query);
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
  // The handler reads the body, since the query is checked by then. The bytes decide what the body is.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_, __, done) => done(null));
  // Not in a WeakMap: V8's young-generation collections keep its values, and the place's `evict` refers to the request.
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
    delete headers['content-type']; // Fastify would refuse a malformed one before the bytes are looked at
    const asked = request.query as Record<string, unknown>;
    request.setDecorator<Arrival>(ARRIVAL, { at: performance.now(), place, signal: caller.signal, type, asked });
  };
  app.post('/classify', { schema, onRequest }, (request, reply) => {
    const answer = async (): Promise<Answer> => {
      const { at, place, signal, type, asked } = request.getDecorator<Arrival>(ARRIVAL);
      const query = request.query as Query;
      settle(query); // a mistake is refused before the body is read
      const { picture, fields } = await readPicture(request, { type, signal, claim: place.claim }, limits);
      const options = Object.keys(fields).length > 0 ? merge(querySchema, asked, fields, settle) : query;
      // One deadline, from the headers on: the time that the body took is used up.
      place.resize('pixels' in picture ? picture.pixels.length : picture.length);
      const spent = performance.now() - at;
      const deadlineMs = Math.max(1, Math.round((options.deadlineMs ?? dependencies.deadlineMs) - spent));
      dependencies.admission.enter(deadlineMs);
      reply.raw.once('close', dependencies.admission.leave);
      const trace = await readTrace(request.headers);
      return classify(dependencies, picture, { ...options, deadlineMs, caller: signal, trace });
    };
    const serve = async (span: Span) => {
      span.setAttributes({ [ATTRIBUTES.httpMethod]: 'POST', [ATTRIBUTES.httpRoute]: '/classify' });
      try {
        const answered = await answer();
        span.setAttributes({ [ATTRIBUTES.httpStatus]: 200, [ATTRIBUTES.requestId]: answered.id });
        return reply.send(answered);
      } catch (thrown) {
        const error = translate(thrown as FastifyError, request.raw);
        span.setAttribute(ATTRIBUTES.httpStatus, error.status);
        throw error;
      }
    };
    return inSpan('POST /classify', SpanKind.SERVER, serve, request.headers);
  });
};

/** Merges the fields of a body with the query, which wins. Both must be valid, also for the strategy (`settle`). */
function merge(
  schema: QuerySchema,
  asked: Record<string, unknown>,
  fields: Record<string, unknown>,
  settle: (query: Query) => unknown,
): Query {
  const known = Object.fromEntries(Object.entries(fields).filter(([name]) => Object.hasOwn(schema.shape, name)));
  const { error } = schema.safeParse(known);
  const [issue] = error?.issues ?? [];
  if (issue) throw new AppError('invalid-parameter', `body/${issue.path.join('/')} ${issue.message}`);
  const merged = schema.parse({ ...known, ...asked }) as Query;
  settle({ ...merged, ...known, strategy: merged.strategy });
  return merged;
}

/** The deadline of the query, before it is validated: a request that cannot be served need not send its body. */
function wanted({ query }: FastifyRequest): number | undefined {
  const { deadlineMs } = query as { deadlineMs?: unknown };
  return Number(deadlineMs) > 0 ? Math.min(MAX_MS, Number(deadlineMs)) : undefined;
}

/** Aborts when the caller hangs up. Fastify's `request.signal` already aborts once the body has been read. */
function whileListening(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new AppError('client-closed', 'the caller hung up'));
  });
  return controller;
}
