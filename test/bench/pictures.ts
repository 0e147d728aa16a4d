import { randomInt } from 'node:crypto';
import sharp from 'sharp';

/** What requests carry. Made from noise, so that no two are alike and no file is needed. */
export interface Picture {
  type: 'image/png' | 'image/jpeg' | 'image/x-rgb8; width=32; height=32';
  width: number;
  height: number;
}

export const PICTURES = {
  'png-32': { type: 'image/png', width: 32, height: 32 },
  'pixels-32': { type: 'image/x-rgb8; width=32; height=32', width: 32, height: 32 },
  'jpeg-1080p': { type: 'image/jpeg', width: 1920, height: 1080 },
} satisfies Record<string, Picture>;

const POOL = { 'image/png': 512, 'image/x-rgb8; width=32; height=32': 512, 'image/jpeg': 24 };
const SERIAL_BYTES = 8; // after the end of an image, where decoders leave them alone: another picture to a cache

/** Encoded pictures, all different. Large ones are few: `repeated` tells them apart by a tail. */
export async function distinct({ type, width, height }: Picture): Promise<Buffer[]> {
  return Promise.all(
    Array.from({ length: POOL[type] }, async (_, i) => {
      // Smooth noise: a photo's file size, and every picture another mean colour.
      const side = type === 'image/jpeg' ? 96 : width;
      const random = generator(i + 1);
      const pixels = Uint8Array.from({ length: side * side * 3 }, () => random() * 256);
      const noise = sharp(pixels, { raw: { width: side, height: side, channels: 3 } });
      if (type === 'image/png') return noise.png().toBuffer();
      if (type !== 'image/jpeg') return Buffer.from(pixels);
      return noise.resize(width, height, { fit: 'fill', kernel: 'cubic' }).jpeg({ quality: 85 }).toBuffer();
    }),
  );
}

/** Draws requests from the pool: a share of them repeats one of the last eight, the others were never sent before. */
export function repeated(pool: Buffer[], share: number, { type }: Picture): () => Buffer {
  const last: Buffer[] = [];
  const random = generator(7);
  const first = randomInt(2 ** 47); // a service that remembers answers may know those of an earlier process
  let sent = 0;
  return () => {
    if (last.length > 0 && random() < share) return last[Math.floor(random() * last.length)] as Buffer;
    const picture = fresh(pool[sent % pool.length] as Buffer, first + sent, type);
    sent += 1;
    last.push(picture);
    if (last.length > 8) last.shift();
    return picture;
  };
}

/** The same picture as other bytes: a number follows its end, or is its last pixels where there is no end. */
function fresh(picture: Buffer, serial: number, type: Picture['type']): Buffer {
  const number = Buffer.alloc(SERIAL_BYTES);
  number.writeDoubleBE(serial);
  const pixels = type === 'image/png' || type === 'image/jpeg' ? picture : picture.subarray(0, -SERIAL_BYTES);
  return Buffer.concat([pixels, number]);
}

/** Reproducible uniform numbers in 0..1 (mulberry32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
