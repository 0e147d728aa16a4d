import sharp, { type OutputInfo } from 'sharp';
import type { Pixels } from '../../shared/wire/picture.ts';

/** Pixels like a photo's, reproducible: soft light, grain, edges and fine lines, at which ways of shrinking differ. */
export async function makePhoto(width: number, height: number): Promise<Pixels> {
  const noise = (side: number, seed: number) =>
    sharp(makeNoise(side * side * 3, seed), { raw: { width: side, height: side, channels: 3 } }).resize(width, height, {
      fit: 'fill',
      kernel: 'cubic',
    });
  const lines = Array.from({ length: 24 }, (_, i) => {
    const x = (i * width) / 24;
    const place = `x="${x}" y="${(i * height) / 40}" width="${1 + (i % 5)}" height="${height / 2}"`;
    return `<rect ${place} fill="hsl(${i * 47} 80% 40%)"/>`;
  });
  const letters = `<text x="4%" y="80%" font-size="${height / 6}" font-family="sans-serif">Expert 8</text>`;
  const size = `width="${width}" height="${height}"`;
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${lines.join('')}${letters}</svg>`;
  const grain = await noise(Math.min(width, height), 7).raw().toBuffer();
  const soft = await noise(6, 1)
    .composite([
      { input: grain, raw: { width, height, channels: 3 }, blend: 'soft-light' },
      { input: Buffer.from(drawing) },
    ])
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return toRaw(soft);
}

/** Loops here and below, for millions of values: `from` with a function takes ten times as long. */
function makeNoise(length: number, seed: number): Uint8Array {
  const noise = new Uint8Array(length);
  for (let i = 0; i < length; i++) noise[i] = Math.imul(i + seed, 2_654_435_761) >>> 24;
  return noise;
}

export function open({ pixels, width, height }: Pixels) {
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** The same values in 16 bits. */
export function openDeep({ pixels, width, height }: Pixels) {
  const values = new Uint16Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) values[i] = (pixels[i] as number) * 257;
  return sharp(values, { raw: { width, height, channels: 3 } }).toColourspace('rgb16');
}

export async function readPhoto(path: string): Promise<Pixels> {
  return toRaw(await sharp(path).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true }));
}

function toRaw({ data, info }: { data: Buffer; info: OutputInfo }): Pixels {
  return { pixels: new Uint8Array(data), width: info.width, height: info.height };
}

/** Mean and largest difference of two squares. */
export function compare(one: Pixels, other: Pixels): { mean: number; most: number } {
  const differences = Array.from(one.pixels, (value, i) => Math.abs(value - (other.pixels[i] as number)));
  return {
    mean: differences.reduce((sum, value) => sum + value, 0) / differences.length,
    most: Math.max(...differences),
  };
}
