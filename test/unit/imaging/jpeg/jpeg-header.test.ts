import sharp from 'sharp';
import { expect, test } from 'vitest';
import { readJpegHeader } from '../../../../shared/imaging/jpeg/jpeg-header.ts';

const file = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#123' } })
  .jpeg()
  .toBuffer();
const behindStart = (piece: Buffer) => Buffer.concat([file.subarray(0, 2), piece, file.subarray(2)]);

test('jpeg header: the segments before the scan, each once', () => {
  const header = readJpegHeader(file);
  expect(header).toMatchObject({ width: 40, height: 30, marker: 0xc0 });
  if (header === undefined || header === 'segments') return;
  const { segments, scanAt } = header;
  expect(segments.map(({ at }) => file[at])).toEqual(segments.map(() => 0xff));
  expect(segments.map(({ end }) => end)).toEqual([...segments.slice(1).map(({ at }) => at), scanAt]);
});

test('jpeg header: a few markers without a length, and some padding, are passed over', () => {
  const piece = Buffer.concat([
    Buffer.alloc(1000, 0xff),
    Buffer.from([0x01]),
    ...Array(100).fill(Buffer.from('ffd0', 'hex')),
  ]);
  expect(readJpegHeader(behindStart(piece))).toMatchObject({ width: 40, height: 30 });
});

test.each([
  ['markers without a length', Buffer.alloc(5000, Buffer.from('ffd0', 'hex'))],
  ['padding', Buffer.alloc(20 * 1024 * 1024, 0xff)],
  ['bytes that are no marker', Buffer.alloc(5000, Buffer.from('ff00', 'hex'))],
])('jpeg header: too many %s are too many segments', (_, piece) => {
  expect(readJpegHeader(behindStart(piece))).toBe('segments');
});
