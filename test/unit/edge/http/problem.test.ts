import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import Fastify, { type FastifyError, type FastifyRequest } from 'fastify';
import { describe, expect, test } from 'vitest';
import { createErrorHandler, requireHost, translate } from '../../../../services/edge/http/problem.ts';
import { createEdgeMetrics } from '../../../../shared/observe/edge-metrics.ts';
import { AppError } from '../../../../shared/request/errors.ts';
import { keepLines } from '../../../support/log-lines.ts';

/** An app whose only address throws `thrown`. */
function setUp(thrown: unknown) {
  const { log, lines } = keepLines();
  const state = { strategies: [], labels: [], experts: [], holders: () => [], waiting: () => 0, circuits: () => [] };
  const metrics = createEdgeMetrics(state);
  const app = Fastify({ bodyLimit: 10 });
  app.setErrorHandler(createErrorHandler(metrics, log));
  app.post('/', async () => {
    throw thrown;
  });
  const ask = (payload: string | undefined = undefined) =>
    app.inject({ method: 'POST', url: '/', ...(payload !== undefined && { payload: { text: payload } }) });
  const counted = async () =>
    (await metrics.errors.get()).values
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => [labels.code, value]);
  return { ask, lines, counted };
}

/** A request of which all has come, or that was given up before. */
function request({ complete = true, destroyed = false } = {}): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.complete = complete;
  if (destroyed) message.destroy();
  return message;
}

const fastifyError = (code: string, statusCode: number) =>
  Object.assign(new Error('as Fastify says'), { code, statusCode, name: 'FastifyError' }) as FastifyError;

describe('problem', () => {
  test('an error of the table is a problem document (RFC 9457), and counted by its code', async () => {
    const { ask, counted } = setUp(new AppError('not-an-image', 'neither JPEG nor PNG'));
    const answer = await ask();
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([
      400,
      'application/problem+json; charset=utf-8',
    ]);
    expect(answer.json()).toEqual({
      type: 'urn:ask-the-expert:problem:not-an-image',
      title: 'The data is not an image',
      status: 400,
      code: 'not-an-image',
      detail: 'neither JPEG nor PNG',
    });
    expect(await counted()).toEqual([['not-an-image', 1]]);
  });

  test('an unexpected failure shows nothing of itself to the caller, and all to the log', async () => {
    const { ask, lines } = setUp(new Error('password of the database'));
    const answer = await ask();
    expect(answer.json()).toMatchObject({ status: 500, code: 'internal', detail: 'unexpected failure, see the log' });
    expect(answer.body).not.toContain('password');
    expect(lines).toEqual([expect.objectContaining({ level: 50, msg: 'internal' })]);
    expect(lines[0]?.err).toMatchObject({ message: 'password of the database' });
  });

  test("a caller's mistake is not logged, an unavailable service is, with the reason", async () => {
    const mistaken = setUp(new AppError('empty-body', 'nothing was sent'));
    await mistaken.ask();
    expect(mistaken.lines).toEqual([]);
    const stopping = setUp(new AppError('stopping', 'this edge is stopping'));
    await stopping.ask();
    expect(stopping.lines).toEqual([
      expect.objectContaining({ level: 40, msg: 'stopping', reason: 'this edge is stopping' }),
    ]);
  });

  test.each([
    ['overloaded', 'retry-after', '3'],
    ['rate-limited', 'retry-after', '3'],
    ['stopping', 'retry-after', '3'],
    ['missing-key', 'www-authenticate', 'Bearer'],
    ['unsupported-encoding', 'accept-encoding', 'gzip, deflate, br, zstd'],
  ] as const)('%s comes with %s', async (code, header, value) => {
    const { headers } = await setUp(new AppError(code, '', { retryAfterMs: 2001 })).ask();
    const names = ['retry-after', 'www-authenticate', 'accept-encoding'];
    expect(names.filter((name) => name in headers)).toEqual([header]);
    expect(headers[header]).toBe(value);
  });

  test("Fastify's own refusal of a body too large has a code of the table", async () => {
    expect((await setUp(new Error('unused')).ask('more than ten bytes')).json()).toMatchObject({
      status: 413,
      code: 'payload-too-large',
    });
  });

  test.each([
    ['FST_ERR_BAD_URL', 400, 'bad-request'],
    ['FST_ERR_VALIDATION', 400, 'invalid-parameter'],
    ['FST_ERR_CTP_INVALID_JSON_BODY', 400, 'invalid-body'],
    ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415, 'invalid-body'],
    ['FST_ERR_REP_INVALID_PAYLOAD_TYPE', 500, 'internal'],
  ])('%s (%i) is told as %s', (code, status, expected) => {
    expect(translate(fastifyError(code, status), request()).code).toBe(expected);
  });

  test('what fails because the caller hung up is told so, whatever was thrown', () => {
    const thrown = fastifyError('ECONNRESET', 500);
    expect(translate(thrown, request({ complete: false, destroyed: true })).code).toBe('client-closed');
    expect(translate(thrown, request({ complete: true, destroyed: true })).code).toBe('internal');
    const ours = new AppError('request-timeout', '');
    expect(translate(ours as never, request({ complete: false, destroyed: true }))).toBe(ours);
  });

  test.each([
    [['Host', 'a'], '1.1', 'accepted'],
    [[], '1.0', 'accepted'],
    [[], '1.1', '0 Host headers, expected one'],
    [['Host', 'a', 'x', 'host', 'HOST', 'b'], '1.1', '2 Host headers, expected one'],
    [['Host', 'a', 'host', 'a'], '1.0', '2 Host headers, expected one'],
  ])('headers %j of HTTP %s: %s', async (rawHeaders, httpVersion, expected) => {
    const raw = Object.assign(request(), { rawHeaders, httpVersion });
    const outcome = await requireHost({ raw } as FastifyRequest).then(
      () => 'accepted',
      (error: AppError) => error.message,
    );
    expect(outcome).toBe(expected);
  });
});
