import type { Encoding } from '../../../shared/bundle/load.ts';
import { encodeImage } from '../../../shared/imaging/codec.ts';
import type { EncodedImage, RawImage } from '../../../shared/wire/expert-protocol.ts';
import { mediaTypeOf } from '../../../shared/wire/media-type.ts';

export interface Payload {
  picture: RawImage | EncodedImage;
  /** `rgb8`, `png`, `webp-80` and the like, or `original`: what the answer says of it. */
  encoding: string;
}

/**
 * What an escalation over a link sends: the picture as the manifest says (`npm run -s ask -- encodings` chose it), or
 * the caller's `original` file where that has fewer bytes; experts make the same pixels of it.
 */
export async function choosePayload(
  image: RawImage,
  original: Uint8Array | undefined,
  encoding: Encoding,
): Promise<Payload> {
  const made = encoding.format === 'rgb8' ? image : await encodeImage(image, encoding);
  const size = 'pixels' in made ? made.pixels.length : made.bytes.length;
  const type = original && mediaTypeOf(original);
  if (original && type && original.length < size) return { picture: { bytes: original, type }, encoding: 'original' };
  return { picture: made, encoding: encodingName(encoding) };
}

/** What an escalation within a process sends: bytes cost nothing there, and making fewer of them does. */
export async function choosePixels(image: RawImage): Promise<Payload> {
  return { picture: image, encoding: 'rgb8' };
}

export function encodingName(encoding: Encoding): string {
  return 'quality' in encoding ? `${encoding.format}-${encoding.quality}` : encoding.format;
}
