import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Color, type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodePicture, fitPixels, type InputRule } from '../../../shared/imaging/codec.ts';
import { AppError } from '../../../shared/request/errors.ts';

const rule: InputRule = { side: 8, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const MAX = 50_000_000;

function flat(width: number, height: number, background: Color = { r: 200, g: 100, b: 50 }) {
  return sharp({ create: { width, height, channels: 3, background } });
}

/** Mean colour of a part of the decoded square. */
function colour(pixels: Uint8Array, from = 0, to = pixels.length / 3): number[] {
  const sums = [0, 0, 0];
  for (let i = from; i < to; i++)
    for (let c = 0; c < 3; c++) sums[c] = (sums[c] as number) + (pixels[i * 3 + c] as number);
  return sums.map((sum) => Math.round(sum / (to - from)));
}

async function codeOf(bytes: Uint8Array, maxPixels = MAX): Promise<string> {
  return decodePicture(bytes, rule, maxPixels).then(
    () => 'decoded',
    (error) => (error instanceof AppError ? error.code : String(error)),
  );
}

describe('codec: every kind of picture becomes a square of RGB', () => {
  test.each([
    ['JPEG', flat(300, 200).jpeg()],
    ['PNG', flat(300, 200).png()],
    ['WebP', flat(300, 200).webp()],
    ['one pixel', flat(1, 1).png()],
    ['a thin line', flat(3000, 2).png()],
    ['palette', flat(64, 64).png({ palette: true })],
    ['CMYK', flat(64, 64).toColourspace('cmyk').jpeg()],
    ['16 bits', flat(64, 64).toColourspace('rgb16').png()],
  ])('%s', async (_, picture) => {
    const { pixels, width, height } = await decodePicture(await picture.toBuffer(), rule, MAX);
    expect([width, height, pixels.length]).toEqual([8, 8, 192]);
    const [r, g, b] = colour(pixels) as [number, number, number];
    expect(Math.abs(r - 200) + Math.abs(g - 100) + Math.abs(b - 50)).toBeLessThan(70);
  });

  test('greyscale gets three equal channels', async () => {
    const grey = await flat(40, 40, { r: 90, g: 90, b: 90 }).greyscale().png().toBuffer();
    expect(colour((await decodePicture(grey, rule, MAX)).pixels)).toEqual([90, 90, 90]);
  });

  test('what is transparent becomes the background', async () => {
    const clear = sharp({ create: { width: 40, height: 40, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } });
    expect(colour((await decodePicture(await clear.png().toBuffer(), rule, MAX)).pixels)).toEqual([255, 255, 255]);
  });

  test('a photo is turned as its EXIF orientation says', async () => {
    const top = await flat(40, 20, { r: 255, g: 0, b: 0 }).png().toBuffer();
    const upright = flat(40, 40, { r: 0, g: 0, b: 255 }).composite([{ input: top, left: 0, top: 0 }]);
    const lying = await upright.jpeg({ quality: 100 }).withMetadata({ orientation: 3 }).toBuffer();
    const { pixels } = await decodePicture(lying, rule, MAX);
    expect(colour(pixels, 0, 16)[2]).toBeGreaterThan(200);
    expect(colour(pixels, 48, 64)[0]).toBeGreaterThan(200);
  });
});

describe('codec: what is no usable picture is refused by name', () => {
  const svg = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  test.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    ['nothing', () => new Uint8Array(), 'empty-body'],
    ['text', () => Buffer.from('hello'), 'not-an-image'],
    ['one byte', () => Buffer.from([0xff]), 'not-an-image'],
    ['SVG', () => Buffer.from(svg), 'unsupported-media-type'],
    ['GIF', () => flat(9, 9).gif().toBuffer(), 'unsupported-media-type'],
    ['TIFF', () => flat(9, 9).tiff().toBuffer(), 'unsupported-media-type'],
    ['a JPEG cut in half', () => half(flat(200, 200).jpeg()), 'corrupt-image'],
    ['a WebP cut in half', () => half(noise().webp()), 'corrupt-image'],
    ['a JPEG header alone', () => Buffer.from([0xff, 0xd8, 0xff, 0xe0]), 'corrupt-image'],
    ['a bomb of 20,000 x 20,000 in 100 kB', () => bomb(20_000), 'too-many-pixels'],
  ])('%s: %s', async (_, make, code) => {
    expect(await codeOf(await make())).toBe(code);
  });

  test('the pixel limit is inclusive', async () => {
    const picture = await flat(100, 100).png().toBuffer();
    expect([await codeOf(picture, 10_000), await codeOf(picture, 9_999)]).toEqual(['decoded', 'too-many-pixels']);
  });
});

test('codec: fitPixels leaves a square of the right size untouched and scales others', async () => {
  const exact = { pixels: Uint8Array.from({ length: 192 }, (_, i) => i), width: 8, height: 8 };
  expect(await fitPixels(exact, rule)).toBe(exact);
  const large = { pixels: new Uint8Array(32 * 32 * 3).fill(77), width: 32, height: 32 };
  expect(await fitPixels(large, rule)).toEqual({ pixels: new Uint8Array(192).fill(77), width: 8, height: 8 });
});

async function half(picture: Sharp): Promise<Buffer> {
  const bytes = await picture.toBuffer();
  return bytes.subarray(0, bytes.length / 2);
}

function noise(): Sharp {
  const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 31 + i * 17) % 251);
  return sharp(pixels, { raw: { width: 64, height: 64, channels: 3 } });
}

/** A valid black PNG of side x side pixels in about side * side / 8000 bytes. */
function bomb(side: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([1, 0, 0, 0, 0], 8); // one bit, greyscale
  const rows = deflateSync(Buffer.alloc(side * (1 + side / 8)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}
