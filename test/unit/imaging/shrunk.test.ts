import { beforeAll, describe, expect, test } from 'vitest';
import { decodePicture, fitPixels, type InputRule } from '../../../shared/imaging/codec.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';
import { compare, makePhoto, open } from '../../support/photos.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const small: InputRule = { ...rule, side: 16 };
const decode = (file: Buffer) => decodePicture(file, rule, 5e7);

/** A shrunk JPEG has lost the pixels that make no whole block: at its end, which EXIF may put anywhere. */
describe('shrunk: a large JPEG', () => {
  let photo: Pixels;
  let upright: Pixels;
  beforeAll(async () => {
    photo = await makePhoto(1199, 1039);
    upright = await fitPixels(photo, rule);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('gives the square of a PNG, with EXIF orientation %i', async (orientation) => {
    const png = await open(photo).withMetadata({ orientation }).png({ compressionLevel: 0 }).toBuffer();
    const jpeg = await open(photo)
      .withMetadata({ orientation })
      .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
      .toBuffer();
    const square = await decode(png);
    expect(compare(square, upright).mean > 1).toBe(orientation > 1);
    expect(compare(await decode(jpeg), square).mean).toBeLessThan(0.6);
  });
});

/** Few pixels are allowed, so that the WebP is shrunk while it is read as well. */
describe.each([
  [1022, 766],
  [765, 1101],
])('shrunk: JPEG and WebP of %i x %i', (width, height) => {
  let photo: Pixels;
  let files: Buffer[];
  beforeAll(async () => {
    photo = await makePhoto(width, height);
    files = [
      await open(photo).webp({ lossless: true, effort: 0 }).toBuffer(),
      await open(photo).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
    ];
  });

  test.each<InputRule['fit']>(['cover', 'contain', 'fill'])(
    'give almost the square of their pixels, fit %s',
    async (fit) => {
      const square = await fitPixels(photo, { ...small, fit });
      for (const file of files) {
        const found = await decodePicture(file, { ...small, fit }, width * height);
        expect(compare(found, square).mean).toBeLessThan(1);
      }
    },
  );
});
