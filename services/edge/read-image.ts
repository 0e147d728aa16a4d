import type { FastifyRequest } from 'fastify';
import { AppError } from '../../shared/errors.ts';
import { ENOUGH_BYTES, mediaTypeOf, refuseOthers, requireImage } from '../../shared/media-type.ts';
import { PIXELS_TYPE, type RawImage, readPixels } from '../../shared/wire.ts';
import { readForm } from './read-form.ts';
import { type ParseJson, readJson } from './read-json.ts';
import { receiveAll } from './receive.ts';

/** What a request brings. */
export interface Submission {
  picture: Uint8Array | RawImage;
  /** What a form or JSON says beside the picture; of the form, only options. */
  fields: Record<string, unknown>;
}

export interface Limits {
  maxBodyBytes: number;
  /** Names of the fields of a form that are read. */
  options: string[];
  parseJson: ParseJson;
}

/**
 * The one picture of a request: a form, JSON, or pixels, where its `type` says so; else the body is the picture, whatever
 * the type: the bytes say what it is. Throws AppError, for a format that is not taken as soon as its first bytes are here.
 */
export async function readImage({ raw }: FastifyRequest, type: string, limits: Limits): Promise<Submission> {
  const { maxBodyBytes: most, options, parseJson } = limits;
  switch (kindOf(type)) {
    case 'form':
      return readForm(raw, { type, most, options });
    case 'json':
      return readJson(raw, await receiveAll(raw, most, ENOUGH_BYTES, requireJson), parseJson);
    case 'pixels':
      return { picture: toPixels(type, await receiveAll(raw, most, 0, () => {})), fields: {} };
    default:
      return { picture: await receiveAll(raw, most, ENOUGH_BYTES, requireImage), fields: {} };
  }
}

/** What a body is by its type, as far as that counts. */
export function kindOf(type: string): 'form' | 'json' | 'pixels' | 'file' {
  const [name = ''] = type.toLowerCase().split(';', 1);
  if (/^\s*multipart\//.test(name)) return 'form';
  if (/^\s*(application|text)\/([^,]*\+)?json\s*$/.test(name)) return 'json';
  return name.trim() === PIXELS_TYPE ? 'pixels' : 'file';
}

function toPixels(type: string, body: Uint8Array): RawImage {
  const image = readPixels(type, body);
  if (image) return image;
  throw new AppError('unsupported-media-type', `expected '${PIXELS_TYPE}; width=W; height=H', got '${type}'`);
}

function requireJson(beginning: Uint8Array): void {
  const type = mediaTypeOf(beginning);
  if (type) throw new AppError('invalid-body', `the body is ${type}, not the JSON that content-type says: say ${type}`);
  refuseOthers(beginning);
}
