import type { Damage } from '../../wire/damage.ts';
import type { Pixels } from '../../wire/picture.ts';
import { isLarge, shrunkToSquare } from '../shrunk.ts';
import { type InputRule, openFile, toSquare } from '../square.ts';
import { type PngHeader, readPngHeader } from './png-header.ts';
import { hasRow } from './png-rows.ts';

/** Decodes a PNG to the square; of a damaged one the readable part. Throws what libvips throws. */
export async function decodePng(
  file: Buffer,
  rule: InputRule,
  maxPixels: number,
): Promise<Pixels & { damage?: Damage }> {
  const header = readPngHeader(file);
  const whole = await read(file, rule, maxPixels, header, 'error').catch((error: Error) => error);
  if (!(whole instanceof Error)) return whole;
  if (!hasRow(file, header)) throw whole;
  const pixels = await read(file, rule, maxPixels, header, 'none');
  return { ...pixels, damage: file.includes('IEND', 33, 'latin1') ? 'unreadable-data' : 'cut-short' };
}

function read(
  file: Buffer,
  rule: InputRule,
  limitInputPixels: number,
  { width, height, depth, channels }: PngHeader,
  failOn: 'none' | 'error',
): Promise<Pixels> {
  const source = openFile(file, { failOn, limitInputPixels });
  // As browsers do: 8 bits first, then the profile. libvips would convert 16 bits of colour to Display P3, and would
  // ignore the profile of 16 bits of grey.
  if (depth === 16) source.pipelineColourspace(channels < 3 ? 'b-w' : 'srgb');
  return isLarge(width, height, rule.side) ? shrunkToSquare(source, rule, 1) : toSquare(source, rule);
}
