import { describe, expect, test } from 'vitest';
import { choosePayload, choosePixels } from '../../../../services/edge/experts/payload.ts';
import { decodeImage, type InputRule } from '../../../../shared/imaging/codec.ts';
import type { EncodedImage, RawImage } from '../../../../shared/wire/picture.ts';

const SIDE = 16;
const image: RawImage = {
  pixels: Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => (i * 7) % 251),
  width: SIDE,
  height: SIDE,
};
const rule: InputRule = { side: SIDE, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const JPEG = [0xff, 0xd8, 0xff, 0xe0];
/** A file of so many bytes that begins as a JPEG does; what it shows does not matter here. */
const file = (length: number, head = JPEG) => Uint8Array.from({ length }, (_, i) => head[i] ?? 0);

describe('payload', () => {
  test('rgb8 sends the very pixels', async () => {
    const { body, encoding } = await choosePayload(image, undefined, { format: 'rgb8' });
    expect(body).toBe(image);
    expect(encoding).toBe('rgb8');
  });

  test('a lossless encoding sends a file of the same pixels, under its media type and name', async () => {
    const { body, encoding } = await choosePayload(image, undefined, { format: 'png' });
    expect([encoding, (body as EncodedImage).type]).toEqual(['png', 'image/png']);
    expect((await decodeImage((body as EncodedImage).bytes, rule, 1e6)).pixels).toEqual(image.pixels);
  });

  test('the name of a lossy encoding says its quality', async () => {
    const { body, encoding } = await choosePayload(image, undefined, { format: 'webp', quality: 80 });
    expect([encoding, (body as EncodedImage).type]).toEqual(['webp-80', 'image/webp']);
  });

  test("the caller's file goes where it has fewer bytes than what was made", async () => {
    const original = file(image.pixels.length - 1);
    const payload = await choosePayload(image, original, { format: 'rgb8' });
    expect(payload).toEqual({ body: { bytes: original, type: 'image/jpeg' }, encoding: 'original' });
  });

  test("the caller's file stays where it has as many bytes, or more", async () => {
    for (const length of [image.pixels.length, 2 * image.pixels.length]) {
      expect((await choosePayload(image, file(length), { format: 'rgb8' })).encoding).toBe('rgb8');
    }
  });

  test('a file of a type that experts do not take stays, however small', async () => {
    const gif = file(10, [...Buffer.from('GIF89a')]);
    expect((await choosePayload(image, gif, { format: 'rgb8' })).encoding).toBe('rgb8');
  });

  test('within a process pixels go as they are', async () => {
    expect(await choosePixels(image)).toEqual({ body: image, encoding: 'rgb8' });
  });
});
