import sharp, { type Sharp } from 'sharp';
import { AppError } from './errors.ts';
import type { Encoding, Manifest } from './manifest.ts';
import { requireImage } from './media-type.ts';
import { readPlainPng } from './png.ts';
import type { EncodedImage, RawImage } from './wire.ts';

sharp.concurrency(1); // one decode uses one thread: several run side by side, and glibc's arenas stay few
sharp.cache(false);

export type InputRule = Manifest['input'];

/**
 * JPEG, PNG or WebP bytes -> the square that the bundle's models take: upright (EXIF), sRGB, without alpha.
 * Throws AppError `empty-body`, `not-an-image`, `unsupported-media-type`, `too-many-pixels` or `corrupt-image`.
 */
export async function decodeImage(bytes: Uint8Array, rule: InputRule, maxPixels: number): Promise<RawImage> {
  requireImage(bytes);
  const ready = rule.size ** 2 <= maxPixels ? readPlainPng(bytes, rule.size) : undefined;
  if (ready) return { pixels: ready, width: rule.size, height: rule.size };
  // libvips decodes only what was recognised above: its other loaders are never reached. It reads the size from the
  // header and refuses a bomb before it decodes a pixel.
  const source = sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error', sequentialRead: true });
  return toSquare(source.autoOrient(), rule).catch((error) => refuse(error, bytes, maxPixels));
}

/** Pixels of any size -> the square that the bundle's models take. */
export async function fitPixels(image: RawImage, rule: InputRule): Promise<RawImage> {
  if (image.width === rule.size && image.height === rule.size) return image;
  return toSquare(sharp(image.pixels, { raw: { width: image.width, height: image.height, channels: 3 } }), rule);
}

/** Pixels -> a file of them; never asked for `rgb8`. Colours keep their full resolution as far as the format allows. */
export async function encodeImage(
  image: RawImage,
  encoding: Exclude<Encoding, { format: 'rgb8' }>,
): Promise<EncodedImage> {
  const source = sharp(image.pixels, { raw: { width: image.width, height: image.height, channels: 3 } });
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

async function toSquare(source: Sharp, rule: InputRule): Promise<RawImage> {
  const [r, g, b] = rule.background as [number, number, number];
  const { data, info } = await source
    .toColourspace('srgb')
    .flatten({ background: { r, g, b } })
    .resize(rule.size, rule.size, { fit: rule.fit, kernel: rule.kernel, background: { r, g, b } })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new AppError('corrupt-image', `decoded to ${info.channels} channels, expected 3`);
  return { pixels: new Uint8Array(data.buffer, data.byteOffset, data.length), width: info.width, height: info.height };
}

async function refuse(error: Error, bytes: Uint8Array, maxPixels: number): Promise<never> {
  if (error instanceof AppError) throw error;
  const size = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch(() => undefined);
  if (size && size.width * size.height > maxPixels) {
    throw new AppError('too-many-pixels', `${size.width} x ${size.height} pixels, at most ${maxPixels} are accepted`);
  }
  throw new AppError('corrupt-image', `the image cannot be decoded: ${error.message}`, { cause: error });
}
