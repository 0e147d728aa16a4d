import type { Pixels } from '../wire/picture.ts';
import { decodeCost, memoryFor } from './decode-cost.ts';
import { isLarge, shrunkToSquare } from './shrunk.ts';
import { type InputRule, openFile, toSquare } from './square.ts';

/** Decodes a WebP to the square. Throws what libvips throws. */
export async function decodeWebp(file: Buffer, rule: InputRule, maxPixels: number): Promise<Pixels> {
  const source = openFile(file, { failOn: 'error', limitInputPixels: maxPixels });
  const cost = decodeCost(file, 'image/webp', rule.side, memoryFor(maxPixels));
  if (cost === undefined || !isLarge(cost.width, cost.height, rule.side)) return toSquare(source, rule);
  return shrunkToSquare(source, rule, 1, cost.shrunk === true);
}
