import { crc32 } from 'node:zlib';
import { AppError } from '../../request/errors.ts';

export interface PngHeader {
  width: number;
  height: number;
  /** Bits of a sample. */
  depth: number;
  /** Channels when decoded: a palette gives three. */
  channels: number;
  interlaced: boolean;
}

/** The signature, and the first chunk's length and type. */
const BEGINNING = Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR', 'latin1');

export const IDAT = 0x49444154;

/** By colour type: channels, and the depths that exist. */
const KINDS = new Map<number, [channels: number, depths: number[]]>([
  [0, [1, [1, 2, 4, 8, 16]]],
  [2, [3, [8, 16]]],
  [3, [3, [1, 2, 4, 8]]],
  [4, [2, [8, 16]]],
  [6, [4, [8, 16]]],
]);

/** Throws AppError `corrupt-image` for a PNG without a valid header. */
export function readPngHeader(file: Buffer): PngHeader {
  const refuse = (what: string) => new AppError('corrupt-image', `the PNG ${what}; save it anew`);
  if (file.length < 33 || !file.subarray(0, 16).equals(BEGINNING))
    throw refuse('does not begin with its header (IHDR)');
  if (crc32(file.subarray(12, 29)) !== file.readUInt32BE(29)) throw refuse('has a header whose checksum is wrong');
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const [depth, colour, compression, filter, interlacing] = file.subarray(24, 29) as unknown as number[] & {
    length: 5;
  };
  const [channels, depths] = KINDS.get(colour as number) ?? [0, []];
  const isKnown = depths.includes(depth as number) && compression === 0 && filter === 0 && (interlacing as number) <= 1;
  if (width === 0 || height === 0 || width >= 2 ** 31 || height >= 2 ** 31 || !isKnown) {
    throw refuse('has a header that no picture can have');
  }
  return { width, height, depth: depth as number, channels, interlaced: interlacing === 1 };
}

/** The chunks of a PNG, which may be cut anywhere, and where their data begins. */
export function* chunksOf(file: Buffer): Generator<{ type: number; at: number; length: number }> {
  for (let at = 8; at + 8 < file.length; ) {
    const length = file.readUInt32BE(at);
    yield { type: file.readUInt32BE(at + 4), at: at + 8, length };
    at += 12 + length;
  }
}
