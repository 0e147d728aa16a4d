import sharp, { type Sharp, type SharpOptions } from 'sharp';
import type { PictureRule } from '../bundle/model.ts';
import { AppError } from '../request/errors.ts';
import type { Pixels } from '../wire/picture.ts';
import { toTiff } from './tiff.ts';

sharp.concurrency(1); // one thread per decode: several run side by side, and glibc's arenas stay few
sharp.cache(false);

export type InputRule = Pick<PictureRule, 'side' | 'fit' | 'kernel' | 'background'>;

/** Opens a file for reading row by row. Limits are the caller's to check. */
export function openFile(file: Uint8Array, options: SharpOptions): Sharp {
  return sharp(file, { sequentialRead: true, ...options }).autoOrient();
}

export function openPixels({ pixels, width, height }: Pixels): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Makes the models' square of pixels, the same as of a file of them. */
export function pixelsToSquare(pixels: Pixels, rule: InputRule): Promise<Pixels> {
  return toSquare(openFile(toTiff(pixels), { limitInputPixels: false }), rule);
}

/** Makes the models' square, sRGB and without alpha, of all pixels or of those that a shrunk JPEG has left. */
export function toSquare(source: Sharp, { side, fit, kernel, background }: InputRule): Promise<Pixels> {
  const options = { fit, kernel, background: toColour(background), fastShrinkOnLoad: false };
  return readPixels(source.resize(side, side, options), { background });
}

/** The same for CMYK without a profile, which browsers treat as light through four filters. */
export async function toSquareOfInks(source: Sharp, rule: InputRule): Promise<Pixels> {
  const { side, kernel } = rule;
  const fit = rule.fit === 'contain' ? 'inside' : rule.fit; // a background colour has no CMYK values
  const inks = source.pipelineColourspace('cmyk').toColourspace('cmyk').resize(side, side, { fit, kernel });
  const { data, info } = await inks.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.channels !== 4) throw new AppError('corrupt-image', `decoded to ${info.channels} channels, expected 4`);
  const pixels = Uint8Array.from({ length: 3 * info.width * info.height }, (_, i) => {
    const at = 4 * Math.floor(i / 3);
    const [ink, black] = [data[at + (i % 3)] as number, data[at + 3] as number];
    return Math.round(((255 - ink) * (255 - black)) / 255);
  });
  return pixelsToSquare({ pixels, width: info.width, height: info.height }, rule);
}

type Colour = { r: number; g: number; b: number };

function toColour([r, g, b]: InputRule['background']): Colour {
  return { r, g, b } as Colour;
}

/** sRGB, without alpha. */
export async function readPixels(source: Sharp, { background }: Pick<InputRule, 'background'>): Promise<Pixels> {
  const { data, info } = await source
    .toColourspace('srgb')
    .flatten({ background: toColour(background) })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new AppError('corrupt-image', `decoded to ${info.channels} channels, expected 3`);
  return { pixels: new Uint8Array(data.buffer, data.byteOffset, data.length), width: info.width, height: info.height };
}
