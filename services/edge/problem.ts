import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode, toAppError } from '../../shared/errors.ts';
import type { EdgeMetrics } from '../../shared/metrics.ts';

/** Fastify's and its plugins' error codes that have a code of ours; other client errors are `invalid-body`. */
const translated: Record<string, ErrorCode> = {
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload-too-large',
  FST_REQ_FILE_TOO_LARGE: 'payload-too-large',
  FST_ERR_VALIDATION: 'invalid-parameter',
};

/** Node's error codes for bytes that are no request it could hand on; others are `bad-request`. */
const unreadable: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
};

const MEDIA_TYPES =
  'set content-type to image/jpeg, image/png or image/webp (the image itself), image/x-rgb8 (its pixels), multipart/form-data (a file named ' +
  "image) or application/json ({'image': base64})";

const LINGER_MS = 1000;
const PROBLEM = 'application/problem+json; charset=utf-8';

/** Answers an error as `application/problem+json` (RFC 9457) and counts it. */
export function createErrorHandler(metrics: EdgeMetrics) {
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    const error = translate(thrown, request.raw);
    metrics.errors.inc({ code: error.code });
    if (error.status === 500) request.log.error({ err: thrown }, error.code);
    else if (error.status > 500) request.log.warn({ reason: error.message }, error.code);
    if (error.status === 401) reply.header('www-authenticate', 'Bearer');
    if (error.status === 429 || error.status === 503) {
      reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1000)));
    }
    // Fastify would hang up on a body that it has not read to its end; a caller still sending it would lose the answer.
    reply.removeHeader('connection');
    reply.code(error.status).type(PROBLEM).send(toProblem(error));
  };
}

/** Of each connection, the response to the request that came last. */
const latest = new WeakMap<Socket, ServerResponse>();

/** Tells `refuseConnection` of a request. */
export function noteRequest({ socket }: IncomingMessage, response: ServerResponse): void {
  latest.set(socket, response);
}

/** Answers a connection whose bytes are no request, and closes it. */
export function refuseConnection(thrown: Error & { code?: string }, socket: Socket): void {
  const response = latest.get(socket);
  // The rest of a request that has its answer: a second one would be taken for that to the next request.
  const answered = response?.headersSent && !response.req.complete;
  if (answered || thrown.code === 'ECONNRESET') return void socket.destroy();
  const detail = 'what was sent is not an HTTP request that this server accepts';
  refuseSocket(new AppError(unreadable[thrown.code ?? ''] ?? 'bad-request', detail), socket);
}

/** Answers a request that has not arrived completely, and gives it up: reading it fails with `error`. */
export function refuseHalfway(error: AppError, request: IncomingMessage, response: ServerResponse): void {
  // Without a socket of its own, it stands behind a request whose answer is still to come: this would be taken for that.
  if (response.socket === null) return void request.destroy(error);
  refuseSocket(error, request.socket, () => request.destroy(error));
}

function refuseSocket(error: AppError, socket: Socket, sent = () => {}): void {
  if (!socket.writable) return void socket.destroy();
  const body = toProblem(error);
  const head = `HTTP/1.1 ${error.status} ${error.code}\r\ncontent-type: ${PROBLEM}\r\nconnection: close`;
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, sent);
  setTimeout(() => socket.destroy(), LINGER_MS).unref(); // who never closes his end would keep the connection for ever
}

/** RFC 9112: a request without Host, or with several, could mean one thing here and another to whoever passed it on. */
export async function requireHost({ raw }: FastifyRequest): Promise<void> {
  const hosts = raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || (hosts === 0 && raw.httpVersion !== '1.0')) {
    throw new AppError('bad-request', `${hosts} Host headers, expected one`);
  }
}

function toProblem({ code, title, status, message }: AppError): string {
  return JSON.stringify({ type: `urn:ask-the-expert:problem:${code}`, title, status, code, detail: message });
}

/** What a caller is told of an error. */
export function translate(thrown: FastifyError, { destroyed, complete }: IncomingMessage): AppError {
  if (thrown instanceof AppError) return thrown;
  if (destroyed && !complete) return new AppError('client-closed', 'the caller hung up', { cause: thrown });
  if (thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new AppError('unsupported-media-type', MEDIA_TYPES);
  const code = translated[thrown.code];
  if (code) return new AppError(code, thrown.message, { cause: thrown });
  const blamesCaller = thrown.statusCode !== undefined && thrown.statusCode >= 400 && thrown.statusCode < 500;
  if (blamesCaller) return new AppError('invalid-body', thrown.message, { cause: thrown });
  return toAppError(thrown);
}
