import sharp, { type Sharp, type SharpOptions } from 'sharp';
import { AppError } from './errors.ts';
import type { Manifest } from './manifest.ts';
import type { RawImage } from './wire.ts';

sharp.concurrency(1); // one decode uses one thread: several run side by side, and glibc's arenas stay few
sharp.cache(false);

export type InputRule = Manifest['input'];

/** How libvips reads a file: row by row. What it must not, whoever calls has ruled out. */
export function openFile(file: Uint8Array, options: SharpOptions): Sharp {
  return sharp(file, { sequentialRead: true, ...options }).autoOrient();
}

export function openPixels({ pixels, width, height }: RawImage): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Makes the square that the bundle's models take: sRGB, without alpha, of all pixels or what a shrunk JPEG has left. */
export function toSquare(source: Sharp, { size, fit, kernel, background }: InputRule): Promise<RawImage> {
  const colour = toColour(background);
  const options = { fit, kernel, background: colour, fastShrinkOnLoad: false };
  return toPixels(source.resize(size, size, options), colour);
}

/** Makes it smaller while it is read, as far as the format can, to squares of at least `size`. */
export function shrinkOnLoad(source: Sharp, size: number, { background }: InputRule): Promise<RawImage> {
  return toPixels(source.resize(size, size, { fit: 'outside' }), toColour(background));
}

type Colour = { r: number; g: number; b: number };

function toColour([r, g, b]: InputRule['background']): Colour {
  return { r, g, b } as Colour;
}

async function toPixels(source: Sharp, background: Colour): Promise<RawImage> {
  const { data, info } = await source
    .toColourspace('srgb')
    .flatten({ background })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new AppError('corrupt-image', `decoded to ${info.channels} channels, expected 3`);
  return { pixels: new Uint8Array(data.buffer, data.byteOffset, data.length), width: info.width, height: info.height };
}
