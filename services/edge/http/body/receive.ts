import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { AppError } from '../../../../shared/request/errors.ts';
import { codingsOf } from '../../load/body-kind.ts';

// 8 MB, which RFC 8878 asks of every decoder; more would be allocated before any byte comes out
const ZSTD_WINDOW_LOG = 23;

const decoders: Record<string, () => Duplex> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
};

/** The content codings that `receive` decodes, one at a time, as `Accept-Encoding` names them. */
export const CODINGS = 'gzip, deflate, br, zstd';

export interface Reader {
  /** The most bytes of the body, both as sent and when decoded. */
  most: number;
  /** Gets the decoded body, chunk by chunk. What it throws ends the reading. */
  onChunk(chunk: Buffer): void;
  /**
   * Is told how many bytes a compressed body has so far, before `onChunk` gets them. What it throws ends the reading.
   */
  claim(bytes: number): void;
  /** Ends the reading with its reason, also of a body that has arrived and is being decoded. */
  signal: AbortSignal;
}

/**
 * Reads a request's body and decodes its content coding; resolves at its end. Rejects with AppError
 * `unsupported-encoding`, `payload-too-large` or `invalid-body`, with the request's own error, or with the signal's
 * reason. The rest of a body that is given up is read and dropped, so that a caller that reads only after writing gets
 * its answer.
 */
export function receive(request: IncomingMessage, { most, onChunk, claim, signal }: Reader): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const tooLarge = () => new AppError('payload-too-large', `the body has more than ${most} bytes (ASK_MAX_BODY_BYTES)`);
  let decoder: Duplex | undefined;
  let source: Readable = request;
  let arrived = 0;
  let length = 0;
  let finished = false;

  function finish(error?: Error): void {
    if (finished) return;
    finished = true;
    source.off('data', onData);
    signal.removeEventListener('abort', abort);
    request.unpipe();
    request.resume();
    decoder?.destroy();
    if (error) reject(error);
    else resolve();
  }
  const abort = () => finish(signal.reason);
  function onArrival(chunk: Buffer): void {
    arrived += chunk.length;
    if (arrived > most) finish(tooLarge());
  }
  function onData(chunk: Buffer): void {
    length += chunk.length;
    if (length > most) return void finish(tooLarge());
    try {
      if (decoder) claim(length);
      onChunk(chunk);
    } catch (error) {
      finish(error as Error);
    }
  }

  request.on('error', finish);
  request.once('close', () => {
    if (!request.readableEnded) finish(new AppError('client-closed', 'the caller hung up'));
  });
  try {
    const coding = codingOf(request);
    if (coding !== undefined) {
      decoder = (decoders[coding] as () => Duplex)();
      decoder.on('error', (cause) => {
        finish(
          new AppError('invalid-body', `the body is not ${coding}, as content-encoding says, or is damaged`, { cause }),
        );
      });
    }
    if (Number(request.headers['content-length']) > most) throw tooLarge();
    if (signal.aborted) throw signal.reason;
    signal.addEventListener('abort', abort);
    if (decoder) {
      request.on('data', onArrival);
      source = request.pipe(decoder);
    }
    source.on('data', onData);
    source.once('end', () => finish());
  } catch (error) {
    finish(error as Error);
  }
  return promise;
}

/** The coding to decode. Several codings are refused: a small body in several could keep a core busy for hours. */
function codingOf(request: IncomingMessage): string | undefined {
  const [coding, ...others] = codingsOf(request);
  if (others.length === 0 && (coding === undefined || Object.hasOwn(decoders, coding))) return coding;
  const named = `content-encoding '${request.headers['content-encoding']?.slice(0, 80)}'`;
  throw new AppError('unsupported-encoding', `${named} is not undone: send one of ${CODINGS}, or the body as it is`);
}

/** Reads a body into one buffer. `look` gets its first `enough` bytes, or all of a shorter body, once they are here. */
export async function receiveAll(
  request: IncomingMessage,
  { enough, look, ...rest }: Omit<Reader, 'onChunk'> & { enough: number; look(beginning: Buffer): void },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const onChunk = (chunk: Buffer) => {
    const before = length;
    chunks.push(chunk);
    length += chunk.length;
    if (before < enough && length >= enough) look(Buffer.concat(chunks, enough));
  };
  await receive(request, { ...rest, onChunk });
  const body = Buffer.concat(chunks, length);
  if (length < enough) look(body);
  return body;
}
