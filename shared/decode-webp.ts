import { decodeCost, isLarge, SHRINK } from './decode-cost.ts';
import { type InputRule, openFile, pixelsToSquare, shrinkOnLoad, toSquare } from './square.ts';
import type { RawImage } from './wire.ts';

/** The square of a WebP. Throws what libvips throws. */
export async function decodeWebp(file: Buffer, rule: InputRule, maxPixels: number): Promise<RawImage> {
  const source = openFile(file, { failOn: 'error', limitInputPixels: maxPixels });
  const cost = decodeCost(file, 'image/webp', rule.size);
  if (cost === undefined || !isLarge(cost.width, cost.height, rule.size)) return toSquare(source, rule);
  // libwebp holds all pixels that it is asked for; shrinking, it takes their mean.
  return pixelsToSquare(await shrinkOnLoad(source, (SHRINK / 4) * rule.size, rule), rule);
}
