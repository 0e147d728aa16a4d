import { AppError } from '../request/errors.ts';
import type { Message } from './message.ts';
import { type EncodedPicture, mediaTypes, PIXELS_TYPE, type Pixels, readPixels } from './picture.ts';
import type { Tensors } from './tensor.ts';
import { decodeTensors, encodeTensors, isTensors } from './tensor-codec.ts';

/** The header that states the type of a message's payload. */
export const PAYLOAD = 'Ask-Payload';

/** The body of a question to a model: a picture, as pixels or a file, or the model's inputs. */
export type Body = Pixels | EncodedPicture | { tensors: Tensors };

/** A body as its type and its bytes. */
export interface EncodedBody {
  type: string;
  payload: Uint8Array;
}

export function encodeBody(body: Body | EncodedBody): EncodedBody {
  if ('payload' in body) return body;
  if ('tensors' in body) return encodeTensors(body.tensors);
  if ('bytes' in body) return { type: body.type, payload: body.bytes };
  return { type: `${PIXELS_TYPE}; width=${body.width}; height=${body.height}`, payload: body.pixels };
}

/** Throws AppError `unsupported-media-type` or `invalid-body`. */
export function decodeBody({ headers, payload }: Message): Body {
  const named = headers[PAYLOAD] ?? '';
  const type = mediaTypes.find((candidate) => candidate === named);
  if (type) return { bytes: payload, type };
  if (isTensors(named)) return { tensors: decodeTensors(named, payload) };
  const pixels = readPixels(named, payload);
  if (pixels) return pixels;
  const known = [PIXELS_TYPE, ...mediaTypes, 'tensors'].join(', ');
  throw new AppError('unsupported-media-type', `${PAYLOAD} is '${named.slice(0, 80)}', expected one of ${known}`);
}
