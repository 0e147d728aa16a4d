import type { Encoding } from '../../../shared/bundle/cascade.ts';
import { encodePixels, encodingName } from '../../../shared/imaging/codec.ts';
import type { Body, EncodedBody } from '../../../shared/wire/body.ts';
import { mediaTypeOf } from '../../../shared/wire/media-type.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';

export interface Payload {
  body: Body | EncodedBody;
  /** Its name in the answer: `rgb8`, `png`, `webp-80` and the like, `original` or `tensors`. */
  encoding: string;
}

/**
 * The payload of an escalation over a network: pixels encoded as the manifest says (`npm run -s ask -- encodings` chose
 * it), or the caller's own file where that has fewer bytes. Experts decode both to the same pixels.
 */
export async function choosePayload(
  pixels: Pixels,
  picture: Uint8Array | undefined,
  encoding: Encoding,
): Promise<Payload> {
  const made = encoding.format === 'rgb8' ? pixels : await encodePixels(pixels, encoding);
  const size = 'pixels' in made ? made.pixels.length : made.bytes.length;
  const type = picture && mediaTypeOf(picture);
  if (picture && type && picture.length < size) return { body: { bytes: picture, type }, encoding: 'original' };
  return { body: made, encoding: encodingName(encoding) };
}

/** The payload of an escalation within a process: bytes cost nothing there, but encoding does. */
export async function choosePixels(pixels: Pixels): Promise<Payload> {
  return { body: pixels, encoding: 'rgb8' };
}
