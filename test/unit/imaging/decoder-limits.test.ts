import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { InputRule } from '../../../shared/imaging/codec.ts';
import { createDecoder } from '../../../shared/imaging/decoder.ts';
import { AppError } from '../../../shared/request/errors.ts';
import { makePng } from '../../support/fuzz/png.ts';
import { makeFlat } from '../../support/jpeg.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const MAX = 50_000_000; // the default
const { signal } = new AbortController();
const within = (milliseconds: number) => ({ left: milliseconds, milliseconds, signal });
const flat = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#c86432' }, limitInputPixels: false });

async function refusalOf(decoded: Promise<unknown>): Promise<[code: string, message: string]> {
  return decoded.then(
    () => ['decoded', ''],
    (error) => (error instanceof AppError ? [error.code, error.message] : ['thrown', String(error)]),
  );
}

describe('decoder limits: size', () => {
  test.each([
    ['50', 8160, 6120],
    ['64', 9280, 6920],
    ['108', 12_000, 9000],
    ['200', 16_320, 12_240],
  ])('a baseline JPEG of %s megapixels is taken', async (_, width, height) => {
    const { pixels, damage } = await createDecoder(MAX)(makeFlat(width, height), rule, within(60_000));
    expect(damage).toBeUndefined();
    const off = pixels.map((value, i) => Math.abs(value - ([0xc8, 0x64, 0x32][i % 3] as number)));
    expect(Math.max(...off)).toBeLessThan(6);
  });

  test('a PNG beyond the allowed pixels is refused, with the size that would do', async () => {
    const wide = makePng({ width: 9000, height: 6000, depth: 8, colour: 2 });
    const [code, message] = await refusalOf(createDecoder(MAX)(wide, rule, within(60_000)));
    expect(code).toBe('too-many-pixels');
    expect(message).toBe(
      '9000 x 6000 is too large, at most 50000000 pixels are accepted in a PNG (ASK_MAX_PIXELS); ' +
        'shrink it to 8660 x 5773, or send a baseline JPEG',
    );
  });

  test('a JPEG of a few bytes that claims to be huge is refused', async () => {
    const file = await flat(64, 64).jpeg().toBuffer();
    const frame = file.indexOf(Buffer.from([0xff, 0xc0]));
    file.writeUInt16BE(40_000, frame + 5);
    file.writeUInt16BE(40_000, frame + 7);
    expect((await refusalOf(createDecoder(MAX)(file, rule, within(60_000))))[0]).toBe('too-many-pixels');
  });

  test('a progressive JPEG is bounded by the memory for it, and the refusal says so', async () => {
    const file = await flat(8000, 6000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer();
    const [code, message] = await refusalOf(createDecoder(MAX)(file, rule, within(60_000)));
    expect(code).toBe('too-many-pixels');
    expect(message).toMatch(/^decoding this progressive JPEG of 8000 x 6000 takes \d+ MB, 150 MB are allowed/);
    expect(message).toContain('ASK_MAX_PIXELS=50000000');
    expect(message).toMatch(/shrink it to \d+ x \d+, or send a baseline JPEG$/);
  });
});

describe('decoder limits: time', () => {
  test('decoding that would pass its deadline is not begun, and the refusal names the setting', async () => {
    const [code, message] = await refusalOf(createDecoder(MAX)(makeFlat(16_320, 12_240), rule, within(50)));
    expect(code).toBe('too-slow-to-decode');
    expect(message).toMatch(/^decoding this JPEG of 16320 x 12240 takes about \d+ ms, 50 of 50 ms are left/);
    expect(message).toContain('(deadlineMs, ASK_DEADLINE_MS)');
    expect(message).toMatch(/allow more time, or shrink it to \d+ x \d+$/);
  });

  test('decoding that would be late after waiting for others is not begun', async () => {
    const decode = createDecoder(MAX);
    const slow = makePng({ width: 7000, height: 7000, depth: 8, colour: 2 });
    const first = Array.from({ length: 4 }, () => decode(slow, rule, within(60_000)));
    const late = { left: 60_000, milliseconds: 60_000, signal };
    const waiting = refusalOf(decode(makeFlat(8160, 6120), rule, late));
    late.left = 30; // so much is left when its turn comes
    expect((await waiting)[0]).toBe('too-slow-to-decode');
    await Promise.all(first);
  });

  test('an ordinary picture is taken whatever the deadline', async () => {
    const file = await flat(640, 480).jpeg().toBuffer();
    expect((await refusalOf(createDecoder(MAX)(file, rule, within(1))))[0]).toBe('decoded');
  });
});
