import sharp from 'sharp';
import type { Encoding } from '../bundle/cascade.ts';
import { AppError } from '../request/errors.ts';
import type { Damage } from '../wire/damage.ts';
import { mediaTypeOf, requirePicture } from '../wire/media-type.ts';
import type { EncodedPicture, Pixels } from '../wire/picture.ts';
import { decodeWebp } from './decode-webp.ts';
import { decodeJpeg } from './jpeg/decode-jpeg.ts';
import { decodePng } from './png/decode-png.ts';
import { readPlainPng } from './png/plain-png.ts';
import { isLarge, shrunkToSquare } from './shrunk.ts';
import { type InputRule, openFile, openPixels, pixelsToSquare } from './square.ts';
import { toTiff } from './tiff.ts';

export type { InputRule };

export interface DecodedPicture extends Pixels {
  /** What is wrong with the file, if part of the picture is missing or broken. */
  damage?: Damage;
}

// Only these formats reach libvips: its other loaders are never used.
const decoders: Record<
  EncodedPicture['type'],
  (file: Buffer, rule: InputRule, maxPixels: number) => Promise<DecodedPicture>
> = { 'image/jpeg': decodeJpeg, 'image/png': decodePng, 'image/webp': decodeWebp };

/**
 * JPEG, PNG or WebP bytes -> the models' square: upright (EXIF), sRGB, without alpha. The same picture gives the same
 * square in every format. Of a damaged picture, the readable part is decoded. `maxPixels` bounds PNG and WebP. Throws
 * AppError `empty-body`, `not-an-image`, `unsupported-media-type`, `too-many-pixels` or `corrupt-image`.
 */
export async function decodePicture(bytes: Uint8Array, rule: InputRule, maxPixels: number): Promise<DecodedPicture> {
  requirePicture(bytes);
  const ready = rule.side ** 2 <= maxPixels ? readPlainPng(bytes, rule.side) : undefined;
  if (ready) return { pixels: ready, width: rule.side, height: rule.side };
  const decode = decoders[mediaTypeOf(bytes) as EncodedPicture['type']];
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return decode(file, rule, maxPixels).catch((error) => refuse(error, bytes, maxPixels));
}

/** Pixels of any size -> the models' square. */
export async function fitPixels(pixels: Pixels, rule: InputRule): Promise<Pixels> {
  const { width, height } = pixels;
  if (width === rule.side && height === rule.side) return pixels;
  return isLarge(width, height, rule.side)
    ? shrunkToSquare(openFile(toTiff(pixels), { limitInputPixels: false }), rule, 1)
    : pixelsToSquare(pixels, rule);
}

/**
 * Pixels -> a file of them; `encoding` is never `rgb8`. Colours keep their full resolution as far as the format allows.
 */
export async function encodePixels(
  pixels: Pixels,
  encoding: Exclude<Encoding, { format: 'rgb8' }>,
): Promise<EncodedPicture> {
  const source = openPixels(pixels);
  if (encoding.format === 'png') return { bytes: await source.png().toBuffer(), type: 'image/png' };
  if (encoding.format === 'jpeg') {
    const { quality } = encoding;
    return { bytes: await source.jpeg({ quality, chromaSubsampling: '4:4:4' }).toBuffer(), type: 'image/jpeg' };
  }
  // More effort costs time without saving bytes on pictures this small.
  const options =
    encoding.format === 'webp' ? { quality: encoding.quality, smartSubsample: true } : { lossless: true, effort: 1 };
  return { bytes: await source.webp(options).toBuffer(), type: 'image/webp' };
}

/** The name of an encoding: `rgb8`, `png`, `webp-80` and the like. */
export function encodingName(encoding: Encoding): string {
  return 'quality' in encoding ? `${encoding.format}-${encoding.quality}` : encoding.format;
}

async function refuse(error: Error, bytes: Uint8Array, maxPixels: number): Promise<never> {
  if (error instanceof AppError) throw error;
  const isBounded = mediaTypeOf(bytes) !== 'image/jpeg';
  const size =
    isBounded &&
    (await sharp(bytes, { limitInputPixels: false })
      .metadata()
      .catch(() => undefined));
  if (size && size.width * size.height > maxPixels) {
    throw new AppError('too-many-pixels', `${size.width} x ${size.height} pixels, at most ${maxPixels} are accepted`);
  }
  const help = 'it may be damaged or cut short: save it anew or send it again';
  throw new AppError('corrupt-image', `the image cannot be decoded; ${help} (${error.message})`, { cause: error });
}
