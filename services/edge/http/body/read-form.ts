import type { IncomingMessage } from 'node:http';
import { Busboy, type BusboyFileStream, type BusboyHeaders } from '@fastify/busboy';
import { AppError } from '../../../../shared/request/errors.ts';
import { mediaTypeOf, refuseOthers, requirePicture } from '../../../../shared/wire/media-type.ts';
import { TEXT_COPIES } from '../../load/body-kind.ts';
import { decodeBase64, explainBase64 } from './base64.ts';
import { Parts, unreadable } from './form-parts.ts';
import { type Reader, receive } from './receive.ts';
import type { Submission } from './submission.ts';

const MAX_PARTS = 100;
const MAX_HEADERS = 50;
/** Bytes of everything but the picture: names, headers, boundaries, other fields. */
const MAX_BESIDE = 65_536;

/**
 * A form with one picture: the part `image` or `file`, sent as a file or as a field, of any type, as bytes or as
 * base64. Parts named in `options` are read as text, before or after it. Empty parts are ignored: browsers send them
 * for a file that was not chosen and a field that was not filled. Throws AppError.
 */
export async function readForm(
  request: IncomingMessage,
  { type, most, options, claim, signal }: Omit<Reader, 'onChunk'> & { type: string; options: string[] },
): Promise<Submission> {
  const failure = new AbortController();
  const fail = (error: AppError) => failure.abort(error);
  const form = openForm(type, most);
  const parts = new Parts({ most, options, fail });
  form.on('file', (name: string | undefined, part: BusboyFileStream) => parts.read(name, part));
  form.on('partsLimit', () =>
    fail(new AppError('invalid-body', `the form has more than ${MAX_PARTS} parts; send fewer`)),
  );
  form.on('error', (cause) => fail(unreadable(cause as Error)));
  const finished = new Promise<void>((resolve, reject) => {
    form.on('finish', resolve);
    failure.signal.addEventListener('abort', () => reject(failure.signal.reason));
  });
  let begun = false;
  const onChunk = (chunk: Buffer) => {
    if (!begun) requireForm(chunk);
    begun = true;
    form.write(chunk);
  };
  // Both are awaited from here on: either may be the one to fail.
  await Promise.all([
    receive(request, {
      most: most + MAX_BESIDE,
      onChunk,
      claim,
      signal: AbortSignal.any([signal, failure.signal]),
    }).then(() => {
      if (begun) form.end();
      else fail(new AppError('empty-body', 'the form is empty'));
    }),
    finished,
  ]);
  return { picture: toPicture(parts.picture(), claim), fields: parts.filled() };
}

function openForm(type: string, most: number): InstanceType<typeof Busboy> {
  if (!/^multipart\/form-data *(;|$)/i.test(type)) {
    throw new AppError(
      'unsupported-media-type',
      `'${type.slice(0, 40)}' is not taken: send the form as multipart/form-data`,
    );
  }
  const limits = { fileSize: most, parts: MAX_PARTS, headerPairs: MAX_HEADERS };
  try {
    const headers: BusboyHeaders = { 'content-type': type };
    return new Busboy({ headers, limits, isPartAFile: () => true });
  } catch (error) {
    throw unreadable(error as Error);
  }
}

function requireForm(beginning: Buffer): void {
  const type = mediaTypeOf(beginning);
  if (type) throw new AppError('invalid-body', `the body is ${type}, not the form that content-type says: say ${type}`);
  refuseOthers(beginning);
}

/** Text counts as base64 if it decodes to a picture or to another known format; many a plain word would decode too. */
function toPicture(bytes: Buffer, claim: (bytes: number) => void): Uint8Array {
  if (mediaTypeOf(bytes)) return bytes;
  claim(TEXT_COPIES * bytes.length);
  const text = bytes.toString('latin1');
  const decoded = decodeBase64(text);
  if (decoded && mediaTypeOf(decoded)) return decoded;
  if (decoded) refuseOthers(decoded);
  else if (isMeant(text.slice(0, 64))) throw new AppError('not-an-image', `the picture ${explainBase64(text)}`);
  requirePicture(bytes);
  return bytes;
}

/** Whether the text was meant as base64 or a URL. */
function isMeant(beginning: string): boolean {
  return /^\s*(data|https?):/i.test(beginning) || mediaTypeOf(Buffer.from(beginning, 'base64')) !== undefined;
}
