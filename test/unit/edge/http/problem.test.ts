import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyError } from 'fastify';
import { expect, test } from 'vitest';
import {
  createConnectionHandler,
  createErrorHandler,
  isLast,
  noteRequest,
  refuseHalfway,
  requireHost,
  translate,
} from '../../../../services/edge/http/problem.ts';
import { createEdgeMetrics, type EdgeMetrics } from '../../../../shared/observe/edge-metrics.ts';
import { AppError, type ErrorCode, errorCodes } from '../../../../shared/request/errors.ts';
import { keepLines } from '../../../support/log-lines.ts';
import { openRawConnection } from '../../../support/raw-connection.ts';
import { waitFor } from '../../../support/wait.ts';

const openMetrics = () =>
  createEdgeMetrics({
    strategies: [],
    labels: [],
    experts: [],
    holders: () => [],
    waiting: () => 0,
    circuits: () => [],
  });

async function counted({ errors }: EdgeMetrics) {
  const { values } = await errors.get();
  const found = values.filter(({ value }) => value > 0);
  return Object.fromEntries(found.map(({ labels, value }) => [labels.code, value]));
}

/** An app whose route throws what the test wants. */
function openApp(thrown?: Error) {
  const metrics = openMetrics();
  const { log, lines } = keepLines();
  const handler = createErrorHandler(metrics, log);
  const app = Fastify({ bodyLimit: 100, frameworkErrors: handler });
  app.setErrorHandler(handler);
  app.addHook('onRequest', requireHost);
  app.all('/', async (_, reply) => {
    if (thrown === undefined) return 'answered';
    reply.header('connection', 'close');
    throw thrown;
  });
  return { app, metrics, lines };
}

test.each(errorCodes)('problem: %s is a document of RFC 9457 with its status, and counted', async (code) => {
  const error = new AppError(code, 'what is wrong');
  const { app, metrics } = openApp(error);
  const { statusCode, headers, body } = await app.inject('/');
  expect(statusCode).toBe(error.status);
  expect(headers['content-type']).toBe('application/problem+json; charset=utf-8');
  const { status, title } = error;
  const type = `urn:ask-the-expert:problem:${code}`;
  expect(JSON.parse(body)).toEqual({ type, title, status, code, detail: 'what is wrong' });
  expect(await counted(metrics)).toEqual({ [code]: 1 });
});

test('problem: headers say what the caller can do, each where it belongs', async () => {
  const told = async (code: ErrorCode, retryAfterMs?: number) => {
    const options = retryAfterMs === undefined ? {} : { retryAfterMs };
    const { headers } = await openApp(new AppError(code, 'x', options)).app.inject('/');
    return [headers['retry-after'], headers['www-authenticate'], headers['accept-encoding']];
  };
  expect(await told('overloaded', 2001)).toEqual(['3', undefined, undefined]);
  expect(await told('rate-limited', 1)).toEqual(['1', undefined, undefined]);
  expect(await told('stopping')).toEqual(['1', undefined, undefined]);
  expect(await told('missing-key')).toEqual([undefined, 'Bearer', undefined]);
  expect(await told('unknown-key')).toEqual([undefined, undefined, undefined]);
  expect(await told('unsupported-encoding')).toEqual([undefined, undefined, 'gzip, deflate, br, zstd']);
  expect(await told('unsupported-media-type')).toEqual([undefined, undefined, undefined]);
});

test('problem: the connection stays open after an error', async () => {
  const { headers } = await openApp(new AppError('internal', 'x')).app.inject('/');
  expect(headers.connection).not.toBe('close');
});

test('problem: what broke inside is for the log alone, and once however often it breaks', async () => {
  const { app, metrics, lines } = openApp(new Error('secret of the house'));
  for (let i = 0; i < 3; i++) {
    const { statusCode, body } = await app.inject('/');
    expect([statusCode, JSON.parse(body).code]).toEqual([500, 'internal']);
    expect(body).not.toContain('secret');
  }
  expect(lines).toMatchObject([{ level: 50, msg: 'internal', err: { message: 'secret of the house' } }]);
  expect(await counted(metrics)).toEqual({ internal: 3 });
});

test('problem: what callers do wrong is not logged, what the service cannot do is a warning', async () => {
  const wrong = openApp(new AppError('not-an-image', 'x'));
  const late = openApp(new AppError('deadline-exceeded', 'too late'));
  for (const { app } of [wrong, late]) await app.inject('/');
  expect(wrong.lines).toEqual([]);
  expect(late.lines).toMatchObject([{ level: 40, msg: 'deadline-exceeded', reason: 'too late' }]);
});

test("problem: the framework's refusals have codes of ours", async () => {
  const { app } = openApp();
  const headers = { 'content-type': 'application/json' };
  const codeOf = async (url: string, payload: string) => {
    const { body } = await app.inject({ method: 'POST', url, payload, headers });
    return JSON.parse(body).code;
  };
  expect(await codeOf('/', JSON.stringify('x'.repeat(100)))).toBe('payload-too-large');
  expect(await codeOf('/', '{')).toBe('invalid-body');
  expect(await codeOf('/%zz', '{}')).toBe('bad-request');
});

test('problem: what fails because the caller has gone is not held against the body', () => {
  const error = Object.assign(new Error('aborted'), { code: 'ECONNRESET', statusCode: 400 }) as FastifyError;
  const codeOf = (destroyed: boolean, complete: boolean, thrown = error) =>
    translate(thrown, { destroyed, complete } as IncomingMessage).code;
  expect([codeOf(true, false), codeOf(true, true), codeOf(false, false)]).toEqual([
    'client-closed',
    'invalid-body',
    'invalid-body',
  ]);
  expect(codeOf(true, false, new AppError('not-an-image', 'x') as unknown as FastifyError)).toBe('not-an-image');
  expect(codeOf(false, true, Object.assign(new Error('x'), { statusCode: 502, code: '' }))).toBe('internal');
});

/** A server of Node's own with the connection handler; `answer` gets every request. */
async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const metrics = openMetrics();
  const server = createServer({ maxHeaderSize: 2000, requireHostHeader: false });
  server.on('clientError', createConnectionHandler(metrics));
  server.on('request', noteRequest);
  server.on('request', answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    metrics,
    url,
    /** Writes bytes, and resolves with all that has come back once the server has closed. */
    async send(bytes: string) {
      const { socket, received } = openRawConnection(url);
      const ended = once(socket, 'end');
      socket.write(bytes);
      await ended;
      socket.destroy();
      return received();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
const statusesOf = (received: string) =>
  [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));

test.each([
  ['what is not HTTP', 'hello\r\n\r\n', 400, 'bad-request'],
  ['too many bytes of headers', `GET / HTTP/1.1\r\nx: ${'x'.repeat(3000)}\r\n\r\n`, 431, 'headers-too-large'],
])('connection: %s is answered by a problem document, counted once, and closed', async (_, bytes, status, code) => {
  await using server = await listen((_, response) => void response.end('answered'));
  const received = await server.send(bytes);
  const [head, body] = received.split('\r\n\r\n') as [string, string];
  expect(statusesOf(received)).toEqual([status]);
  expect(head).toContain('content-type: application/problem+json; charset=utf-8\r\nconnection: close');
  expect(head).toContain(`content-length: ${Buffer.byteLength(body)}`);
  expect(JSON.parse(body)).toMatchObject({ code, status });
  expect(await counted(server.metrics)).toEqual({ [code]: 1 });
});

test('connection: a refusal comes after the answers to the requests before it, once for all that follows', async () => {
  const open: ServerResponse[] = [];
  await using server = await listen((_, response) => void open.push(response));
  const { socket, received } = openRawConnection(server.url);
  const ended = once(socket, 'end');
  const nonsense = 'hello\r\n\r\n';
  const arrived = (bytes: string) => waitFor(() => open[0]?.req.socket.bytesRead === bytes.length, 'all bytes');
  socket.write(GET + nonsense);
  await arrived(GET + nonsense);
  socket.write(nonsense);
  await arrived(GET + nonsense + nonsense);
  open[0]?.end('answered');
  await ended;
  expect(statusesOf(received())).toEqual([200, 400]);
  expect(received().indexOf('answered')).toBeLessThan(received().indexOf('bad-request'));
  expect(await counted(server.metrics)).toEqual({ 'bad-request': 1 });
  socket.destroy();
});

test('connection: a body that breaks off into nonsense is refused in place of an answer', async () => {
  const failed: string[] = [];
  await using server = await listen((request) => void request.on('error', ({ message }) => failed.push(message)));
  const received = await server.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n');
  expect(statusesOf(received)).toEqual([400]);
  await waitFor(() => failed.length > 0, 'the reader to be told');
  expect(failed).toEqual(['what was sent is not an HTTP request that this server accepts']);
});

test('connection: a request refused halfway keeps the headers that other origins need, and those alone', async () => {
  const headers = { vary: 'origin', 'access-control-allow-origin': '*', 'x-other': 'no' };
  const error = new AppError('payload-too-large', 'too much');
  await using server = await listen((request, response) => {
    request.on('error', () => {});
    refuseHalfway(error, request, response, headers);
  });
  const received = await server.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc');
  expect(statusesOf(received)).toEqual([413]);
  expect(received).toContain('\r\nvary: origin\r\naccess-control-allow-origin: *\r\n');
  expect(received).not.toContain('x-other');
});

test('connection: which request is its latest is known', async () => {
  const open: ServerResponse[] = [];
  await using server = await listen((_, response) => void open.push(response));
  const { socket } = openRawConnection(server.url);
  socket.write(GET);
  await waitFor(() => open.length === 1, 'the first request');
  expect(isLast(open[0] as ServerResponse)).toBe(true);
  socket.write(GET);
  await waitFor(() => open.length === 2, 'the second request');
  expect(open.map(isLast)).toEqual([false, true]);
  socket.destroy();
});

test.each([
  ['one', 'HTTP/1.1\r\nhost: a', 200],
  ['none', 'HTTP/1.1', 400],
  ['two', 'HTTP/1.1\r\nhost: a\r\nHost: a', 400],
  ['none, which HTTP/1.0 allows', 'HTTP/1.0', 200],
])('host: %s', async (_, rest, status) => {
  const { log } = keepLines();
  const app = Fastify({ http: { requireHostHeader: false } });
  app.setErrorHandler(createErrorHandler(openMetrics(), log));
  app.addHook('onRequest', requireHost);
  app.get('/', async () => 'answered');
  const { socket, received } = openRawConnection(await app.listen({ host: '127.0.0.1', port: 0 }));
  socket.write(`GET / ${rest}\r\n\r\n`);
  await waitFor(() => statusesOf(received()).length > 0, 'the answer');
  expect(statusesOf(received())).toEqual([status]);
  socket.destroy();
  await app.close();
});
