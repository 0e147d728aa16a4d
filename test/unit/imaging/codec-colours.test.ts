import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodePicture, type InputRule } from '../../../shared/imaging/codec.ts';
import { profileJpeg, profilePng, profileWebp } from '../../support/embed-profile.ts';
import { open, openDeep } from '../../support/photos.ts';
import { makeProfile, type ProfileName, toSrgb } from '../../support/profile.ts';

const rule: InputRule = { side: 8, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const COLOURS = [
  [200, 100, 50],
  [30, 60, 220],
  [20, 200, 40],
  [128, 128, 128],
  [250, 250, 10],
];
const SIDE = 40;

const flat = (colour: number[]) => ({
  pixels: Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => colour[i % 3] as number),
  width: SIDE,
  height: SIDE,
});

/** The colour of the middle, compared with what it should be: at most so far off in any channel. */
async function expectColour(file: Buffer, colour: number[], name: string, most = 2): Promise<void> {
  const { pixels, damage } = await decodePicture(file, rule, 1e6);
  const found = [...pixels.subarray(12, 15)];
  const off = Math.max(...found.map((value, i) => Math.abs(value - (colour[i] as number))));
  expect(off <= most ? 'right' : `${found}, not ${colour}`, name).toBe('right');
  expect(damage, name).toBeUndefined();
}

/** The figures are those of a browser: see the support file. */
describe('colours: a profile is brought to sRGB as browsers do', () => {
  test.each<ProfileName>(['sRGB', 'Display P3', 'Adobe RGB', 'ProPhoto'])('%s', async (name) => {
    const profile = makeProfile(name);
    for (const colour of COLOURS) {
      const wanted = toSrgb(
        name,
        colour.map((value) => value / 255),
      );
      await expectColour(profilePng(await open(flat(colour)).png().toBuffer(), profile), wanted, '8 bits');
      await expectColour(profilePng(await openDeep(flat(colour)).png().toBuffer(), profile), wanted, '16 bits');
      const jpeg = await open(flat(colour)).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
      await expectColour(profileJpeg(jpeg, profile), wanted, 'JPEG', 4);
      const webp = await open(flat(colour)).webp({ lossless: true }).withIccProfile('srgb').toBuffer();
      await expectColour(profileWebp(webp, profile), wanted, 'WebP');
    }
  });

  test('of grey, in 8 and 16 bits, with and without alpha', async () => {
    const profile = makeProfile('grey');
    for (const value of [20, 128, 250]) {
      const [grey] = toSrgb('grey', [value / 255]) as [number];
      const files: [string, Sharp][] = [
        ['8 bits', raw(new Uint8Array(SIDE * SIDE).fill(value), 1).toColourspace('b-w')],
        ['16 bits', raw(new Uint16Array(SIDE * SIDE).fill(257 * value), 1).toColourspace('grey16')],
        ['16 bits and alpha', raw(withAlpha(257 * value), 2).toColourspace('grey16')],
      ];
      for (const [name, file] of files) {
        const png = await file.png().toBuffer();
        await expectColour(png, [value, value, value], `${name}, no profile`);
        await expectColour(profilePng(png, profile), [grey, grey, grey], name);
      }
    }
  });

  test('a broken profile is ignored', async () => {
    for (const profile of [Buffer.alloc(200, 7), makeProfile('Adobe RGB').subarray(0, 160), makeProfile('grey')]) {
      const [colour] = COLOURS as [number[]];
      await expectColour(profilePng(await open(flat(colour)).png().toBuffer(), profile), colour, '8 bits');
      await expectColour(profilePng(await openDeep(flat(colour)).png().toBuffer(), profile), colour, '16 bits');
      const jpeg = await open(flat(colour)).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
      await expectColour(profileJpeg(jpeg, profile), colour, 'JPEG', 3);
    }
  });

  test('CMYK without a profile is light through filters; with one, what that says', async () => {
    for (const colour of COLOURS) {
      const cmyk = await open(flat(colour)).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
      const inks = await sharp(cmyk).pipelineColourspace('cmyk').toColourspace('cmyk').raw().toBuffer();
      const light = [0, 1, 2].map((i) => ((255 - (inks[i] as number)) * (255 - (inks[3] as number))) / 255);
      await expectColour(cmyk, light, 'no profile');
    }
    const printed = await open(flat([128, 128, 128]))
      .withIccProfile('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    await expectColour(printed, [128, 128, 128], 'with a profile', 20);
  });
});

test('colours: a palette, and what is transparent in 16 bits', async () => {
  const [colour] = COLOURS as [number[]];
  await expectColour(await open(flat(colour)).png({ palette: true }).toBuffer(), colour, 'palette');
  const clear = raw(new Uint16Array(SIDE * SIDE * 4), 4).toColourspace('rgb16');
  await expectColour(await clear.png().toBuffer(), [255, 255, 255], 'transparent');
});

function raw(values: Uint8Array | Uint16Array, channels: 1 | 2 | 4): Sharp {
  return sharp(values, { raw: { width: SIDE, height: SIDE, channels } });
}

function withAlpha(value: number): Uint16Array {
  return Uint16Array.from({ length: SIDE * SIDE * 2 }, (_, i) => (i % 2 === 0 ? value : 65_535));
}
