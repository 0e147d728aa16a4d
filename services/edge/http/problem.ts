import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import type { Log } from '../../../shared/observe/log.ts';
import { rateLimited } from '../../../shared/observe/rate-limited-log.ts';
import { AppError, type ErrorCode, toAppError } from '../../../shared/request/errors.ts';
import { CODINGS } from './body/receive.ts';

/** Error codes of Fastify and its plugins that have a code of ours; other client errors are `invalid-body`. */
const translated: Record<string, ErrorCode> = {
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload-too-large',
  FST_ERR_VALIDATION: 'invalid-parameter',
};

/** Node's error codes for bytes that it cannot parse as a request; others are `bad-request`. */
const unreadable: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_INVALID_EOF_STATE: 'client-closed',
};

/** Milliseconds in which a request must arrive, whatever its deadline. */
export const REQUEST_MS = 30_000;

const TOO_SLOW = `no request may take longer than ${REQUEST_MS} ms to arrive, whatever its deadlineMs: send it faster`;
const NOT_HTTP = 'what was sent is not an HTTP request that this server accepts';
const LINGER_MS = 1000;
const PROBLEM = 'application/problem+json; charset=utf-8';

/** Answers an error as `application/problem+json` (RFC 9457) and counts it. */
export function createErrorHandler(metrics: EdgeMetrics, log: Log) {
  const say = rateLimited(log);
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    const error = translate(thrown, request.raw);
    metrics.errors.inc({ code: error.code });
    if (error.status === 500) say('error', `${error.code} ${thrown.message}`, { err: thrown }, error.code);
    else if (error.status > 500) say('warn', error.code, { reason: error.message }, error.code);
    if (error.code === 'unsupported-encoding') reply.header('accept-encoding', CODINGS);
    if (error.status === 401) reply.header('www-authenticate', 'Bearer');
    if (error.status === 429 || error.status === 503) {
      reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)));
    }
    // Fastify would close the connection of a body that it has not read to its end; a caller still sending it would
    // lose the answer.
    reply.removeHeader('connection');
    reply.code(error.status).type(PROBLEM).send(toProblem(error));
  };
}

/** The response to the latest request of each connection. */
const latest = new WeakMap<Socket, ServerResponse>();

/** Tells the connection handler about a request. */
export function noteRequest({ socket }: IncomingMessage, response: ServerResponse): void {
  latest.set(socket, response);
}

/** Whether its request is the latest on the connection. */
export function isLast(response: ServerResponse): boolean {
  return latest.get(response.req.socket) === response;
}

/** Answers bytes that are no request, after the requests before them, counts the error, and closes the connection. */
export function createConnectionHandler(metrics: EdgeMetrics) {
  const refused = new WeakSet<Socket>();

  function refuse(error: AppError, socket: Socket, response = latest.get(socket)): void {
    const again = () => refuse(error, socket, response);
    if (response && !response.req.complete && !response.headersSent) {
      // This request is the one that cannot be parsed. A response without a socket waits for those of earlier requests.
      if (response.socket === null) response.once('socket', again);
      else refuseHalfway(error, response.req, response);
    } else if (response && !response.closed) response.once('close', again);
    // This request was already answered; a second answer would be read as the next one's.
    else if (response && !response.req.complete) socket.destroy();
    else {
      metrics.errors.inc({ code: error.code });
      refuseSocket(error, socket);
    }
  }

  return (thrown: Error & { code?: string }, socket: Socket) => {
    if (socket.destroyed || thrown.code === 'ECONNRESET') return void socket.destroy();
    if (refused.has(socket)) return; // Node reports the same error for all bytes that follow
    refused.add(socket);
    const code = unreadable[thrown.code ?? ''] ?? 'bad-request';
    refuse(new AppError(code, code === 'request-timeout' ? TOO_SLOW : NOT_HTTP), socket);
  };
}

/**
 * Answers a request that has not arrived completely and gives it up: reading it fails with `error`. Of `headers` only
 * those are sent that let a page of another origin read the answer.
 */
export function refuseHalfway(
  error: AppError,
  request: IncomingMessage,
  response: ServerResponse,
  headers: Record<string, unknown> = {},
): void {
  const { socket } = request;
  const cors = Object.entries(headers).filter(([name]) => name === 'vary' || name.startsWith('access-control-'));
  const lines = cors.map(([name, value]) => `\r\n${name}: ${value}`).join('');
  if (response.socket !== null) return void refuseSocket(error, socket, lines, () => request.destroy(error));
  // An earlier request is not answered yet: this answer must wait, and the socket must last until then.
  response.once('finish', () => close(socket));
  if (!response.headersSent && request.listenerCount('error') > 0) request.emit('error', error);
}

function refuseSocket(error: AppError, socket: Socket, lines = '', onSent = () => {}): void {
  const body = toProblem(error);
  const head = `HTTP/1.1 ${error.status} ${error.code}\r\ncontent-type: ${PROBLEM}\r\nconnection: close`;
  close(socket, `${head}${lines}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, onSent);
}

function close(socket: Socket, last = '', onSent = () => {}): void {
  if (!socket.writable) return void socket.destroy();
  socket.end(last, onSent);
  // a peer that never closes its end would keep the connection for ever
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/** RFC 9112: a request without Host, or with several, could mean different things here and at a proxy before us. */
export async function requireHost({ raw }: FastifyRequest): Promise<void> {
  const hosts = raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || (hosts === 0 && raw.httpVersion !== '1.0')) {
    throw new AppError('bad-request', `${hosts} Host headers, expected one`);
  }
}

function toProblem({ code, title, status, message }: AppError): string {
  return JSON.stringify({ type: `urn:ask-the-expert:problem:${code}`, title, status, code, detail: message });
}

/** The error that a caller is told. */
export function translate(thrown: FastifyError, { destroyed, complete }: IncomingMessage): AppError {
  if (thrown instanceof AppError) return thrown;
  if (destroyed && !complete) return new AppError('client-closed', 'the caller hung up', { cause: thrown });
  const code = translated[thrown.code];
  if (code) return new AppError(code, thrown.message, { cause: thrown });
  const blamesCaller = thrown.statusCode !== undefined && thrown.statusCode >= 400 && thrown.statusCode < 500;
  if (blamesCaller) return new AppError('invalid-body', thrown.message, { cause: thrown });
  return toAppError(thrown);
}
