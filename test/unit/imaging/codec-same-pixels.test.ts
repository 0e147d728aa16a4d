import { expect, test } from 'vitest';
import { decodePicture, fitPixels, type InputRule } from '../../../shared/imaging/codec.ts';
import { profilePng } from '../../support/embed-profile.ts';
import { compare, makePhoto, open, openDeep } from '../../support/photos.ts';
import { makeProfile } from '../../support/profile.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const decode = (file: Buffer) => decodePicture(file, rule, 5e7);

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
  const deep = await openDeep(photo).png({ compressionLevel: 0 }).toBuffer();
  const png = await open(photo).png({ compressionLevel: 0 }).toBuffer();
  const lossless: [string, Buffer][] = [
    ['PNG', png],
    ['interlaced PNG', await open(photo).png({ compressionLevel: 0, progressive: true }).toBuffer()],
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
    open(photo).webp({ lossless: true, effort: 0 }).toBuffer(),
    open(photo).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
    open(photo).jpeg({ quality: 98, chromaSubsampling: '4:4:4', progressive: true }).toBuffer(),
  ]);
  expect(compare(await decode(webp), square).mean, 'lossless WebP').toBe(0);
  expect(compare(await decode(jpeg), square).mean, 'JPEG').toBeLessThan(0.6);
  expect(compare(await decode(progressive), square).mean, 'progressive JPEG').toBeLessThan(0.6);
});
