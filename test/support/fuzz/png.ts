import { constants, crc32, deflateRawSync } from 'node:zlib';

export const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

export interface PngShape {
  width: number;
  height: number;
  /** Bits of a sample. */
  depth: number;
  /** As in the header: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA. */
  colour: number;
  interlaced?: boolean;
}

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** A PNG of zeros with the chunks `extra` after its header and its picture data cut into `parts`. */
export function makePng(shape: PngShape, extra: Uint8Array[] = [], parts = 1): Buffer {
  const { width, height, depth, colour, interlaced = false } = shape;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, Number(interlaced)], 8);
  const row = 1 + Math.ceil((width * depth * (CHANNELS[colour] as number)) / 8);
  // Interlaced, a picture is seven small ones: at most two more filter bytes a row, and rounding.
  const data = deflatedZeros(height * (interlaced ? row + 8 : row));
  const step = Math.ceil(data.length / parts);
  const pieces = Array.from({ length: parts }, (_, i) => pngChunk('IDAT', data.subarray(i * step, (i + 1) * step)));
  const palette = colour === 3 ? [pngChunk('PLTE', Buffer.from([0, 0, 0, 255, 255, 255]))] : [];
  return Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', header),
    ...palette,
    ...extra,
    ...pieces,
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

const BLOCK = 1_000_000;
const block = deflateRawSync(Buffer.alloc(BLOCK), { level: 9, finishFlush: constants.Z_FULL_FLUSH });

/** So many zeros as a zlib stream, without ever holding them. */
export function deflatedZeros(count: number): Buffer {
  const whole = Math.floor(count / BLOCK);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE((count % 65_521) * 65_536 + 1); // Adler-32 of zeros
  return Buffer.concat([
    Buffer.from([0x78, 0xda]),
    ...Array.from({ length: whole }, () => block),
    deflateRawSync(Buffer.alloc(count % BLOCK), { level: 9 }),
    checksum,
  ]);
}
