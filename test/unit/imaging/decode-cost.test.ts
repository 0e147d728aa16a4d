import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeCost } from '../../../shared/imaging/decode-cost.ts';
import type { EncodedPicture } from '../../../shared/wire/picture.ts';
import { makePng } from '../../support/fuzz/png.ts';

const SIDE = 32;
const AMPLE = 150_000_000; // bytes: the default
const picture = (width: number, height: number, channels: 3 | 4 = 3) =>
  sharp({ create: { width, height, channels, background: { r: 200, g: 100, b: 50, alpha: 0.5 } } });

describe('decode cost: the memory that decoding takes, by the header of a file', () => {
  const [width, height] = [2000, 1500];
  const pixels = width * height;
  const rows = 1064 * width; // so much passes through a decoder at once, of a JPEG shrunk while it is read an eighth
  test.each<[string, EncodedPicture['type'], () => Promise<Buffer>, number]>([
    ['a JPEG', 'image/jpeg', () => picture(width, height).jpeg().toBuffer(), (4 * rows) / 8],
    ['a JPEG that is read in full', 'image/jpeg', () => picture(width, 1000).jpeg().toBuffer(), 4 * rows],
    [
      'a JPEG of four inks, read in full',
      'image/jpeg',
      () => picture(width, height).toColourspace('cmyk').jpeg().toBuffer(),
      4 * rows,
    ],
    ['a PNG', 'image/png', () => picture(width, height).png().toBuffer(), 3 * rows],
    ['a WebP, twice as it is', 'image/webp', () => picture(width, height).webp().toBuffer(), 8 * pixels],
    [
      'a progressive JPEG in full colour: 16 bits for each coefficient',
      'image/jpeg',
      () => picture(width, height).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
      6 * pixels + (4 * rows) / 8,
    ],
    [
      'a progressive JPEG with a quarter of the colour',
      'image/jpeg',
      () => picture(width, height).jpeg({ progressive: true }).toBuffer(),
      3 * pixels + (4 * rows) / 8,
    ],
    [
      'an interlaced PNG',
      'image/png',
      () => picture(width, height).png({ progressive: true }).toBuffer(),
      3 * pixels + 3 * rows,
    ],
    [
      'an interlaced PNG with 16 bits and alpha',
      'image/png',
      () => picture(width, height, 4).toColourspace('rgb16').png({ progressive: true }).toBuffer(),
      8 * pixels + 8 * rows,
    ],
    [
      'a lossless WebP',
      'image/webp',
      () => picture(width, height).webp({ lossless: true, effort: 0 }).toBuffer(),
      12 * pixels,
    ],
    ['a transparent WebP', 'image/webp', () => picture(width, height, 4).webp({ effort: 0 }).toBuffer(), 13 * pixels],
  ])('%s', async (name, type, make, bytes) => {
    const file = await make();
    const copy = name.startsWith('a progressive') ? file.length : 0; // mended
    expect(decodeCost(file, type, SIDE, AMPLE)?.memory).toBe(bytes + copy);
  });

  test('a WebP that would take more than is allowed: shrunk while it is read', async () => {
    const file = await picture(width, height).webp({ lossless: true, effort: 0 }).toBuffer();
    const cost = decodeCost(file, 'image/webp', SIDE, 12 * pixels - 1);
    expect(cost).toMatchObject({ memory: Math.ceil(pixels * (4 + 8 * (3.5 / 32) ** 2)), shrunk: true });
  });

  test('of few but long rows: several times the picture', () => {
    const wide = makePng({ width: 100_000, height: 40, depth: 16, colour: 6 });
    expect(decodeCost(wide, 'image/png', SIDE, AMPLE)?.memory).toBe(11 * 100_000 * 40 * 8);
  });

  test('of what has no header: unknown, and none that a PNG has to begin with', () => {
    for (const length of [100, 3]) {
      expect(decodeCost(Buffer.alloc(length), 'image/jpeg', SIDE, AMPLE)).toBeUndefined();
      expect(decodeCost(Buffer.alloc(length), 'image/webp', SIDE, AMPLE)).toBeUndefined();
      expect(() => decodeCost(Buffer.alloc(length), 'image/png', SIDE, AMPLE)).toThrow(
        'does not begin with its header',
      );
    }
  });

  test('a sequential JPEG whose colours come one after the other is kept, too', async () => {
    const file = await picture(640, 480).jpeg({ chromaSubsampling: '4:4:4' }).toBuffer();
    const scan = file.indexOf(Buffer.from([0xff, 0xda]));
    expect(file[scan + 4]).toBe(3);
    const before = decodeCost(file, 'image/jpeg', SIDE, AMPLE)?.memory as number;
    file[scan + 4] = 1;
    expect((decodeCost(file, 'image/jpeg', SIDE, AMPLE)?.memory as number) - before).toBe(
      640 * 480 * 3 * 2 + file.length,
    );
  });
});
