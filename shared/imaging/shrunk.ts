import type { Sharp } from 'sharp';
import type { Pixels } from '../wire/picture.ts';
import { type InputRule, pixelsToSquare, readPixels } from './square.ts';

/** A picture with at least this many pixels, in each direction, for one of the square's is shrunk in steps. */
const LARGE = 32;
/** Pixels that the first step makes one of. libvips averages 4 or 8 then, which it rounds as JPEG decoders do. */
const STEPS = [32 / 3.5, 17] as const;
const MIN_LEFT = 3.5; // pixels that the first step leaves for one of the square's
const GRID = 2; // grid pixels for one of the square's, in each direction
const LOBES = 3; // of the kernel from the grid to the square
const MIN_SAMPLES = 4;

/** Whether a picture can be shrunk while it is read and still be as sharp as others. */
export function isLarge(width: number, height: number, side: number): boolean {
  return Math.min(width, height) >= LARGE * side;
}

/** How many pixels of a large picture become one while it is read. */
export function firstStep(width: number, height: number, side: number): number {
  return Math.min(width, height) >= MIN_LEFT * STEPS[1] * side ? STEPS[1] : STEPS[0];
}

/** One direction of a picture: its pixels, how many the reader leaves of them, and from which end. */
interface Axis {
  length: number;
  covered: number;
  fromEnd: boolean;
}

/** The part of an axis that is kept, and the pixels of the square that it becomes. */
interface Part {
  from: number;
  scale: number;
  count: number;
}

/**
 * Makes the square of a large picture, in the same steps for all formats. Some formats are shrunk while they are read,
 * which rounds their sides, and a JPEG loses the pixels that do not fill a whole block of `block`. The kept part is
 * counted in the original's pixels, or other files would show another part.
 */
export async function shrunkToSquare(source: Sharp, rule: InputRule, block: number, fast = true): Promise<Pixels> {
  const { width, height, orientation = 1 } = await source.metadata();
  const turned = orientation >= 5;
  const toAxis = (length: number, mirrored: number[]): Axis => {
    return { length, covered: length - (length % block), fromEnd: mirrored.includes(orientation) };
  };
  const across = toAxis(turned ? height : width, [2, 3, 6, 7]);
  const down = toAxis(turned ? width : height, [3, 4, 7, 8]);
  const [x, y] = toParts(across.length, down.length, rule);
  const step = firstStep(width, height, rule.side);
  const resized = source.resize(Math.round(across.length / step), Math.round(down.length / step), {
    fit: 'fill',
    fastShrinkOnLoad: fast,
  });
  const read = await readPixels(resized, rule);
  return pixelsToSquare(align(read, toTaps(across, x, read.width, block), toTaps(down, y, read.height, block)), rule);
}

/** The parts that libvips would keep: it rounds, and the middle stays the middle. */
function toParts(width: number, height: number, { side, fit }: InputRule): [Part, Part] {
  const shared = (fit === 'cover' ? Math.min(width, height) : Math.max(width, height)) / side;
  const toPart = (length: number): Part => {
    const scale = fit === 'fill' ? length / side : shared;
    const count = Math.round(length / scale);
    return { from: (length - scale * count) / 2, scale, count };
  };
  return [toPart(width), toPart(height)];
}

/** For each grid position: the first pixel that counts there, and the weights of it and the following ones. */
type Taps = { first: number; weights: number[] }[];

function toTaps({ length, covered, fromEnd }: Axis, { from, scale, count }: Part, read: number, block: number): Taps {
  const lost = fromEnd ? length - covered : 0;
  const perPixel = read / covered;
  // A grid pixel is the mean of the original's pixels there, as far as these are not means already.
  const mean = Math.sqrt((scale / GRID) ** 2 - block ** 2) * perPixel;
  const several = Math.max(MIN_SAMPLES, Math.ceil(mean));
  return Array.from({ length: GRID * count }, (_, i) => {
    const at = (from + ((i + 0.5) * scale) / GRID - lost) * perPixel - 0.5;
    const samples = Array.from({ length: several }, (_, sample) => at + ((sample + 0.5) / several - 0.5) * mean);
    const first = Math.floor(at - mean / 2) - LOBES + 1;
    const weights = Array.from({ length: Math.ceil(mean) + 2 * LOBES }, (_, tap) =>
      samples.reduce((sum, sample) => sum + lanczos(first + tap - sample), 0),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function lanczos(x: number): number {
  if (x === 0) return 1;
  const angle = Math.PI * x;
  return Math.abs(x) < LOBES ? (LOBES * Math.sin(angle) * Math.sin(angle / LOBES)) / angle ** 2 : 0;
}

function align({ pixels, width, height }: Pixels, across: Taps, down: Taps): Pixels {
  const stride = 3 * width;
  const aligned = new Uint8ClampedArray(3 * across.length * down.length);
  const row = new Float32Array(stride);
  for (const [y, { first: top, weights }] of down.entries()) {
    row.fill(0);
    for (const [tap, weight] of weights.entries()) {
      const from = stride * clamp(top + tap, height);
      for (let i = 0; i < stride; i++) row[i] = (row[i] as number) + weight * (pixels[from + i] as number);
    }
    for (const [x, { first: left, weights: beside }] of across.entries()) {
      const to = 3 * (y * across.length + x);
      for (let channel = 0; channel < 3; channel++) {
        let value = 0;
        for (let tap = 0; tap < beside.length; tap++) {
          value += (beside[tap] as number) * (row[3 * clamp(left + tap, width) + channel] as number);
        }
        aligned[to + channel] = value;
      }
    }
  }
  return { pixels: new Uint8Array(aligned.buffer), width: across.length, height: down.length };
}

function clamp(at: number, length: number): number {
  return Math.min(length - 1, Math.max(0, at));
}
