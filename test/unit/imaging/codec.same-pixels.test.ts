import { beforeAll, describe, expect, test } from 'vitest';
import { decodePicture, fitPixels, type InputRule } from '../../../shared/imaging/codec.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';
import { profilePng } from '../../support/embed-profile.ts';
import { compare, makePhoto, open, openDeep } from '../../support/photos.ts';
import { makeProfile } from '../../support/profile.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const decode = (file: Buffer) => decodePicture(file, rule, 5e7);
const toWebp = (photo: Pixels) => open(photo).webp({ lossless: true, effort: 0 }).toBuffer();
const toJpeg = (photo: Pixels) => open(photo).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();

/** Shrunk by 5 to 44: from 32 on, JPEGs are shrunk while they are read. */
test.each([
  [240, 160],
  [500, 375],
  [333, 500],
  [960, 640],
  [1200, 1040],
  [2000, 1408],
  [1644, 1132],
  [1123, 1999],
])('same pixels: %i x %i give the same square, whatever the file', async (width, height) => {
  const photo = await makePhoto(width, height);
  const square = await fitPixels(photo, rule);
  const deep = await openDeep(photo).png({ compressionLevel: 1 }).toBuffer();
  const png = await open(photo).png({ compressionLevel: 1 }).toBuffer();
  const lossless: [string, Buffer][] = [
    ['PNG', png],
    ['interlaced PNG', await open(photo).png({ compressionLevel: 1, progressive: true }).toBuffer()],
    ['16-bit PNG', deep],
    ['16-bit PNG with a profile', profilePng(deep, makeProfile('sRGB'))],
    ['PNG with a profile', profilePng(png, makeProfile('sRGB'))],
  ];
  for (const [name, file] of lossless) {
    // A profile that says what is so anyway may round a few values in a thousand in another way.
    const { mean, most } = compare(await decode(file), square);
    const [least, level] = name.endsWith('profile') ? [0.01, 1] : [0, 0];
    expect([mean <= least, most <= level], `${name}: ${mean}, ${most}`).toEqual([true, true]);
  }
  const [webp, jpeg, progressive] = await Promise.all([
    toWebp(photo),
    toJpeg(photo),
    open(photo).jpeg({ quality: 98, chromaSubsampling: '4:4:4', progressive: true }).toBuffer(),
  ]);
  expect(compare(await decode(webp), square).mean, 'lossless WebP').toBe(0);
  expect(compare(await decode(jpeg), square).mean, 'JPEG').toBeLessThan(0.6);
  expect(compare(await decode(progressive), square).mean, 'progressive JPEG').toBeLessThan(0.6);
});

/** A shrunk JPEG has lost the pixels that make no whole block: at its end, which EXIF may put anywhere. */
describe('same pixels: a large JPEG', () => {
  let photo: Pixels;
  let upright: Pixels;
  beforeAll(async () => {
    photo = await makePhoto(1199, 1039);
    upright = await fitPixels(photo, rule);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('gives those of a PNG of orientation %i', async (orientation) => {
    const png = await open(photo).withMetadata({ orientation }).png({ compressionLevel: 1 }).toBuffer();
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
  [2044, 1532],
  [1531, 2203],
])('same pixels: %i x %i, shrunk while they are read', (width, height) => {
  let photo: Pixels;
  let files: Buffer[];
  beforeAll(async () => {
    photo = await makePhoto(width, height);
    files = [await toWebp(photo), await toJpeg(photo)];
  });

  test.each<InputRule['fit']>(['cover', 'contain', 'fill'])('are close, with fit %s', async (fit) => {
    const square = await fitPixels(photo, { ...rule, fit });
    for (const file of files) {
      const found = await decodePicture(file, { ...rule, fit }, width * height);
      expect(compare(found, square).mean).toBeLessThan(1);
    }
  });
});
