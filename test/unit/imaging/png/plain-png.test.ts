import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { readPlainPng } from '../../../../shared/imaging/png/plain-png.ts';

const SIZE = 9;
const noise = (channels: number) =>
  Uint8Array.from({ length: SIZE * SIZE * channels }, (_, i) => (i * i * 31 + i) % 251);

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

interface Parts {
  header?: number[];
  rows?: Uint8Array;
  between?: Buffer[];
}

/**
 * A PNG of rows that are filtered already; `header`: bit depth, colour type, compression, filter method, interlacing.
 */
function png({ header = [8, 2, 0, 0, 0], rows = filtered(0), between = [] }: Parts = {}, side = SIZE): Buffer {
  const size = Buffer.alloc(8);
  size.writeUInt32BE(side, 0);
  size.writeUInt32BE(side, 4);
  const data = deflateSync(rows);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', Buffer.concat([size, Buffer.from(header)])),
    ...between,
    chunk('IDAT', data.subarray(0, 20)),
    chunk('IDAT', data.subarray(20)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Rows of noise that each say they were filtered with `filter`: any bytes are valid filtered ones. */
function filtered(filter: number, channels = 3): Buffer {
  const rows = Buffer.from(noise(channels));
  const parts = Array.from({ length: SIZE }, (_, y) => [
    Buffer.from([filter]),
    rows.subarray(y * SIZE * channels, (y + 1) * SIZE * channels),
  ]);
  return Buffer.concat(parts.flat());
}

const full = async (file: Uint8Array) => new Uint8Array(await sharp(file).removeAlpha().raw().toBuffer());

describe('plain PNG: gives the pixels that the full decoder gives', () => {
  test.each([0, 1, 2, 3, 4])('with filter %i, data in two chunks', async (filter) => {
    const file = png({ rows: filtered(filter) });
    expect(readPlainPng(file, SIZE)).toEqual(await full(file));
  });

  test('with opaque alpha', async () => {
    const pixels = noise(4).map((value, i) => (i % 4 === 3 ? 255 : value));
    const file = await sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 4 } })
      .png()
      .toBuffer();
    expect(readPlainPng(file, SIZE)).toEqual(await full(file));
  });

  test('as sharp writes them, from inside a larger buffer', async () => {
    const picture = sharp(noise(3), { raw: { width: SIZE, height: SIZE, channels: 3 } });
    const file = await picture.png({ adaptiveFiltering: true }).toBuffer();
    const larger = Buffer.concat([Buffer.from('before'), file, Buffer.from('after')]);
    expect(readPlainPng(larger.subarray(6, 6 + file.length), SIZE)).toEqual(noise(3));
  });
});

describe('plain PNG: leaves to the full decoder', () => {
  const damaged = (at: number) => png().map((byte, i) => (i === at ? byte ^ 1 : byte));
  const flat = (channels: 3 | 4) =>
    sharp({ create: { width: SIZE, height: SIZE, channels, background: { r: 1, g: 2, b: 3, alpha: 0.5 } } });
  test.each<[string, () => Uint8Array | Promise<Uint8Array>]>([
    ['another size', () => png({}, SIZE + 1)],
    ['16 bits', () => png({ header: [16, 2, 0, 0, 0] })],
    ['greyscale', () => flat(3).toColourspace('b-w').png().toBuffer()],
    ['a palette', () => flat(3).png({ palette: true }).toBuffer()],
    ['interlacing', () => png({ header: [8, 2, 0, 0, 1] })],
    ['transparency', () => flat(4).png().toBuffer()],
    ['a colour profile', () => flat(3).withIccProfile('p3').png().toBuffer()],
    ['a gamma', () => png({ between: [chunk('gAMA', Buffer.from([0, 0, 0x80, 0]))] })],
    ['a transparent colour', () => png({ between: [chunk('tRNS', Buffer.alloc(6))] })],
    ['an orientation', () => png({ between: [chunk('eXIf', Buffer.from('II*\0'))] })],
    ['a wrong checksum of the header', () => damaged(30)],
    ['a wrong checksum of the data', () => damaged(60)],
    ['a file cut short', () => png().subarray(0, -13)],
    ['another signature', () => damaged(5)],
    ['a second header', () => png({ between: [png().subarray(8, 33)] })],
    [
      'data in two places',
      () => Buffer.concat([png().subarray(0, -12), chunk('pHYs', Buffer.alloc(9)), png().subarray(33)]),
    ],
    ['a million empty chunks of data', () => png({ between: Array(90_000).fill(chunk('IDAT', Buffer.alloc(0))) })],
    ['a filter that does not exist', () => png({ rows: filtered(5) })],
    ['too few rows', () => png({ rows: filtered(0).subarray(28) })],
    ['more than its rows: a bomb', () => png({ rows: Buffer.alloc(50_000_000) })],
    [
      'a chunk longer than the file',
      () => png({ between: [Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0])] }),
    ],
    ['nothing', () => new Uint8Array()],
  ])('%s', async (_, make) => {
    expect(readPlainPng(await make(), SIZE)).toBeUndefined();
  });
});
