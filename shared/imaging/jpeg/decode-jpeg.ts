import { AppError } from '../../request/errors.ts';
import type { Damage } from '../../wire/damage.ts';
import type { Pixels } from '../../wire/picture.ts';
import { isLarge, shrunkToSquare } from '../shrunk.ts';
import { type InputRule, openFile, toSquare, toSquareOfInks } from '../square.ts';
import { isOneScan, type JpegHeader, kindOf, readJpegHeader } from './jpeg-header.ts';
import { mendJpeg } from './jpeg-mend.ts';
import { examineScan } from './jpeg-scan.ts';

/** A file up to this size is examined whatever the decoder reports; examining a larger one takes too long. */
const MAX_EXAMINED = 8 * 1024 * 1024;
const BLOCK = 8; // a shrunk JPEG has one pixel for this many in each direction
const ARITHMETIC = 0xc9;

/** Decodes a JPEG to the square; of a damaged one the readable part, and what is wrong. Throws what libvips throws. */
export async function decodeJpeg(file: Buffer, rule: InputRule): Promise<Pixels & { damage?: Damage }> {
  const header = readJpegHeader(file);
  // The decoder reports what is wrong with these, and never returns a pixel.
  if (header === undefined || header === 'segments') return read(file, rule, 'warning', undefined);
  if (kindOf(header) === 'lossless') {
    const name = `lossless or hierarchical JPEG (SOF${header.marker - 0xc0})`;
    throw new AppError('unsupported-media-type', `${name} is not taken; send a baseline or progressive JPEG, or a PNG`);
  }
  const isCounted = isOneScan(header) && header.marker !== ARITHMETIC;
  if (isCounted && file.length <= MAX_EXAMINED) return readExamined(file, rule, header);
  // With `warning` libvips fails at the first thing that it would warn of.
  const whole = await read(file, rule, 'warning', header).catch(() => undefined);
  if (whole) return whole;
  if (isCounted) return readExamined(file, rule, header);
  if (file.length <= header.dataAt + 2) throw new AppError('corrupt-image', 'the JPEG ends before its first pixel');
  const mended = mendJpeg(file, header);
  const strange = await read(mended, rule, 'warning', header).catch(() => undefined);
  if (strange) return strange;
  return { ...(await read(mended, rule, 'none', header)), damage: 'unreadable-data' };
}

async function readExamined(file: Buffer, rule: InputRule, header: JpegHeader) {
  const [pixels, { damage, share }] = await Promise.all([read(file, rule, 'none', header), examineScan(file, header)]);
  if (damage === undefined) return pixels;
  if (share === 0)
    throw new AppError('corrupt-image', 'the JPEG ends before its first pixel, or nothing of it can be read');
  return { ...pixels, damage };
}

function read(file: Buffer, rule: InputRule, failOn: 'none' | 'warning', header: JpegHeader | undefined) {
  // The pixels of a JPEG are not limited here: the caller has checked what decoding costs.
  const source = openFile(file, { failOn, limitInputPixels: false });
  if (header?.components.length === 4 && !header.profiled) return toSquareOfInks(source, rule);
  if (header === undefined) return toSquare(source, rule);
  if (isLarge(header.width, header.height, rule.side)) return shrunkToSquare(source, rule, BLOCK);
  // Setting the colour space that the picture already has only keeps libvips from shrinking while reading, which would
  // give other pixels than other formats do.
  const { length } = header.components;
  if (length === 1) source.pipelineColourspace('b-w');
  if (length === 3) source.pipelineColourspace('srgb');
  return toSquare(source, rule);
}
