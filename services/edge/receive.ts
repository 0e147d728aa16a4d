import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { AppError } from '../../shared/errors.ts';

const MOST_CODINGS = 3;
const ZSTD_WINDOW_LOG = 23; // 8 MB: what RFC 8878 asks of everyone; more would be memory before any byte comes out

const decoders: Record<string, () => Duplex> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
};

/** The content codings that `receive` undoes, as `Accept-Encoding` names them. */
export const CODINGS = 'gzip, deflate, br, zstd';

export interface Reader {
  /** The most bytes that the body may have, on its way and when its codings are undone. */
  most: number;
  /** Gets the body, chunk by chunk. What it throws ends the reading. */
  take(chunk: Buffer): void;
  /** Ends the reading with its reason. */
  signal?: AbortSignal;
}

/**
 * Reads a request's body with its content codings undone; resolves at its end. Rejects with AppError
 * `unsupported-encoding`, `payload-too-large` or `invalid-body`, or with the request's own error. A body that is given up
 * flows away: a caller that writes first and reads later must get to his answer.
 */
export function receive(request: IncomingMessage, { most, take, signal }: Reader): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stages: Duplex[] = [];
  const tooLarge = () => new AppError('payload-too-large', `the body has more than ${most} bytes (ASK_MAX_BODY_BYTES)`);
  let source: Readable = request;
  let arrived = 0;
  let length = 0;
  let finished = false;

  function finish(error?: Error): void {
    if (finished) return;
    finished = true;
    source.off('data', onData);
    signal?.removeEventListener('abort', abort);
    request.unpipe();
    request.resume();
    for (const stage of stages) stage.destroy();
    if (error) reject(error);
    else resolve();
  }
  const abort = () => finish(signal?.reason);
  function onArrival(chunk: Buffer): void {
    arrived += chunk.length;
    if (arrived > most) finish(tooLarge());
  }
  function onData(chunk: Buffer): void {
    length += chunk.length;
    if (length > most) return void finish(tooLarge());
    try {
      take(chunk);
    } catch (error) {
      finish(error as Error);
    }
  }

  request.on('error', finish);
  request.once('close', () => {
    if (!request.readableEnded) finish(new AppError('client-closed', 'the caller hung up'));
  });
  try {
    for (const coding of codingsOf(request)) {
      const stage = (decoders[coding] as () => Duplex)();
      stage.on('error', (cause) => {
        finish(
          new AppError('invalid-body', `the body is not ${coding}, as content-encoding says, or is damaged`, { cause }),
        );
      });
      stages.push(stage);
      source = source.pipe(stage);
    }
    if (Number(request.headers['content-length']) > most) throw tooLarge();
    if (signal?.aborted) throw signal.reason;
    signal?.addEventListener('abort', abort);
    if (stages.length > 0) request.on('data', onArrival);
    source.on('data', onData);
    source.once('end', () => finish());
  } catch (error) {
    finish(error as Error);
  }
  return promise;
}

/** What was done to the body, the last first. */
function codingsOf({ headers }: IncomingMessage): string[] {
  const named = (headers['content-encoding'] ?? '').toLowerCase().split(',');
  const codings = named.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity');
  const unknown = codings.find((name) => !Object.hasOwn(decoders, name));
  if (unknown !== undefined) {
    const message = `content-encoding '${unknown.slice(0, 40)}' is not undone here: send ${CODINGS}, or the body as it is`;
    throw new AppError('unsupported-encoding', message);
  }
  if (codings.length > MOST_CODINGS) {
    throw new AppError(
      'unsupported-encoding',
      `${codings.length} content codings over each other: send at most ${MOST_CODINGS}`,
    );
  }
  return codings.reverse();
}

/** Reads a body into one buffer. `look` sees its first `enough` bytes, or all of a shorter one, once they are there. */
export async function receiveAll(
  request: IncomingMessage,
  most: number,
  enough: number,
  look: (beginning: Buffer) => void,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const take = (chunk: Buffer) => {
    const before = length;
    chunks.push(chunk);
    length += chunk.length;
    if (before < enough && length >= enough) look(Buffer.concat(chunks, enough));
  };
  await receive(request, { most, take });
  const body = Buffer.concat(chunks, length);
  if (length < enough) look(body);
  return body;
}
