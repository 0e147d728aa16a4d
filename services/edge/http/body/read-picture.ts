import type { FastifyRequest } from 'fastify';
import { AppError } from '../../../../shared/request/errors.ts';
import { ENOUGH_BYTES, mediaTypeOf, refuseOthers, requirePicture } from '../../../../shared/wire/media-type.ts';
import { PIXELS_TYPE, type Pixels, readPixels } from '../../../../shared/wire/picture.ts';
import { kindOf, TEXT_COPIES } from '../../load/body-kind.ts';
import { readForm } from './read-form.ts';
import { type ParseJson, readJson } from './read-json.ts';
import { type Reader, receiveAll } from './receive.ts';
import type { Submission } from './submission.ts';

export interface Limits {
  maxBodyBytes: number;
  /** Names of the form fields that are read. */
  options: string[];
  parseJson: ParseJson;
}

/**
 * The one picture of a request. `type` says whether the body is a form, JSON or pixels; any other body is the picture,
 * whatever its type: the bytes say what it is. Ends with `signal`, and tells `claim` how many bytes it needs. Throws
 * AppError; for a format that is not accepted, as soon as its first bytes are here.
 */
export async function readPicture(
  { raw }: FastifyRequest,
  { type, signal, claim }: Pick<Reader, 'signal' | 'claim'> & { type: string },
  { maxBodyBytes: most, options, parseJson }: Limits,
): Promise<Submission> {
  const reader = { most, signal, claim };
  const read = (enough: number, look: (beginning: Uint8Array) => void) => receiveAll(raw, { ...reader, enough, look });
  switch (kindOf(type)) {
    case 'form':
      return readForm(raw, { ...reader, type, options });
    case 'json': {
      const body = await read(ENOUGH_BYTES, requireJson);
      claim(TEXT_COPIES * body.length);
      return readJson(raw, body, parseJson);
    }
    case 'pixels':
      return { picture: toPixels(type, await read(0, () => {})), fields: {} };
    default:
      return { picture: await read(ENOUGH_BYTES, requirePicture), fields: {} };
  }
}

function toPixels(type: string, body: Uint8Array): Pixels {
  const pixels = readPixels(type, body);
  if (pixels) return pixels;
  throw new AppError('unsupported-media-type', `expected '${PIXELS_TYPE}; width=W; height=H', got '${type}'`);
}

function requireJson(beginning: Uint8Array): void {
  const type = mediaTypeOf(beginning);
  if (type) throw new AppError('invalid-body', `the body is ${type}, not the JSON that content-type says: say ${type}`);
  refuseOthers(beginning);
}
