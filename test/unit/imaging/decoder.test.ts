import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { InputRule } from '../../../shared/imaging/codec.ts';
import { createDecoder } from '../../../shared/imaging/decoder.ts';
import { AppError } from '../../../shared/request/errors.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const ample = { left: 60_000, milliseconds: 60_000, signal: new AbortController().signal };
const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: { r: 200, g: 100, b: 50 } } });

async function codeOf(decoded: Promise<unknown>): Promise<string> {
  return decoded.then(
    () => 'decoded',
    (error) => (error instanceof AppError ? error.code : String(error)),
  );
}

describe('decoder', () => {
  test('refuses what takes more than three bytes for each allowed pixel, and nothing that takes less', async () => {
    const decode = createDecoder(16_000_000);
    const [sequential, progressive] = await Promise.all([
      picture(4000, 3000).jpeg({ chromaSubsampling: '4:4:4' }).toBuffer(),
      picture(4000, 3000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
    ]);
    expect(await codeOf(decode(sequential, rule, ample))).toBe('decoded');
    expect(await codeOf(decode(progressive, rule, ample))).toBe('too-many-pixels');
    expect(await codeOf(createDecoder(30_000_000)(progressive, rule, ample))).toBe('decoded');
  });

  test('takes pixels without a file around them', async () => {
    const pixels = new Uint8Array(64 * 64 * 3).fill(77);
    const made = await createDecoder(1e6)({ pixels, width: 64, height: 64 }, rule, ample);
    expect(made).toEqual({ pixels: new Uint8Array(32 * 32 * 3).fill(77), width: 32, height: 32 });
  });

  test('does not begin for a caller who has gone', async () => {
    const gone = AbortSignal.abort(new AppError('client-closed', ''));
    expect(
      await codeOf(createDecoder(1e6)(await picture(9, 9).png().toBuffer(), rule, { ...ample, signal: gone })),
    ).toBe('client-closed');
  });

  test('refuses a small JPEG of hundreds of scans', async () => {
    const decode = createDecoder(50_000_000);
    expect(await codeOf(decode(makeScans(64), rule, ample))).toBe('decoded');
    expect(await codeOf(decode(makeScans(101), rule, ample))).toBe('too-many-pixels');
  });

  test('refuses a file with thousands of metadata segments, before or after the picture', async () => {
    const decode = createDecoder(50_000_000);
    const exif = Buffer.from([0xff, 0xe1, 0, 8, ...Buffer.from('Exif\0\0')]);
    const insert = (file: Buffer, at: number, piece: Buffer, times: number) =>
      Buffer.concat([file.subarray(0, at), ...Array(times).fill(piece), file.subarray(at)]);
    const [jpeg, scans] = [await picture(9, 9).jpeg().toBuffer(), makeScans(2)];
    expect(await codeOf(decode(insert(jpeg, 2, exif, 500), rule, ample))).toBe('decoded');
    expect(await codeOf(decode(insert(jpeg, 2, exif, 2001), rule, ample))).toBe('too-many-pixels');
    expect(await codeOf(decode(insert(scans, scans.length - 2, exif, 2001), rule, ample))).toBe('too-many-pixels');
    const png = await picture(9, 9).png().toBuffer();
    const time = Buffer.from('00000007' + '74494d45' + '07d00101000000' + '5b36f85a', 'hex');
    expect(await codeOf(decode(insert(png, 33, time, 1), rule, ample))).toBe('decoded');
    expect(await codeOf(decode(insert(png, 33, time, 1001), rule, ample))).toBe('too-many-pixels');
  });

  test('refuses an animation with thousands of frames', async () => {
    const frames = sharp(
      Uint8Array.from({ length: 9 * 27 * 3 }, (_, i) => i % 251),
      { raw: { width: 9, height: 27, channels: 3, pageHeight: 9 } },
    );
    const file = await frames.webp({ loop: 0 }).toBuffer();
    const decode = createDecoder(50_000_000);
    expect(await codeOf(decode(file, rule, ample))).toBe('decoded');
    const many = Buffer.concat([file, ...Array(1001).fill(Buffer.from('ANMF\0\0\0\0'))]);
    expect(await codeOf(decode(many, rule, ample))).toBe('too-many-pixels');
  });
});

/** A grey JPEG of one block whose coefficients come in so many scans, each saying 'nothing' in one bit. */
function makeScans(count: number): Buffer {
  const segment = (marker: number, ...data: number[]) => Buffer.from([0xff, marker, 0, data.length + 2, ...data]);
  const table = (id: number, symbol: number) => segment(0xc4, id, 1, ...Array(15).fill(0), symbol);
  const scans = Array.from({ length: count - 1 }, (_, i) => {
    const [band, bit] = [1 + (i % 63), 13 - Math.floor(i / 63)];
    const header = segment(0xda, 1, 1, 0, band, band, bit === 13 ? 13 : ((bit + 1) << 4) | bit);
    return Buffer.concat([header, Buffer.from([0x7f])]);
  });
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, 0, ...Array(64).fill(1)),
    segment(0xc2, 8, 0, 8, 0, 8, 1, 1, 0x11, 0),
    table(0x00, 0), // code 0: the mean does not change
    table(0x10, 0), // code 0: the end of a block
    segment(0xda, 1, 1, 0, 0, 0, 0),
    Buffer.from([0x7f]),
    ...scans,
    Buffer.from([0xff, 0xd9]),
  ]);
}
