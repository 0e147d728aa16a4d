import { crc32, inflateSync } from 'node:zlib';

/** Limit before and after inflating: this runs on the event loop and must take a fraction of a millisecond. */
const MAX_BYTES = 65_536;
/** The signature, and the first chunk's length and type. */
const BEGINNING = Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR', 'latin1');
const AFTER_HEADER = 33;
const MIN_CHUNK = 64; // bytes; Node allows no smaller output chunk of zlib
const RGB = 2;
const RGBA = 6;

/** Chunks that do not affect the pixels of an 8-bit sRGB picture; any other chunk needs the full decoder. */
const IGNORED = new Set(['sRGB', 'pHYs', 'tIME', 'sBIT', 'bKGD']);

/**
 * The pixels (8-bit RGB, row by row) of a plain PNG that already is a square of `size`: RGB or opaque RGBA, 8 bits, not
 * interlaced, without a colour profile. Undefined for every other file, also for damaged ones: the caller has a full
 * decoder for those, which takes ten times as long for a picture of 32 x 32. The format: PNG, third edition (W3C).
 */
export function readPlainPng(file: Uint8Array, size: number): Uint8Array | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 57 || bytes.length > MAX_BYTES || !bytes.subarray(0, 16).equals(BEGINNING)) return undefined;
  const colour = bytes.readUInt8(25);
  const channels = colour === RGB ? 3 : colour === RGBA ? 4 : 0;
  const square = bytes.readUInt32BE(16) === size && bytes.readUInt32BE(20) === size;
  const plain = bytes.readUInt8(24) === 8 && bytes.readUInt8(26) + bytes.readUInt8(27) + bytes.readUInt8(28) === 0;
  const length = size * (size * channels + 1);
  if (channels === 0 || !square || !plain || length > MAX_BYTES) return undefined;
  if (crc32(bytes.subarray(12, 29)) !== bytes.readUInt32BE(29)) return undefined;
  const compressed = readData(bytes);
  if (compressed === undefined) return undefined;
  let rows: Buffer;
  try {
    // One byte more than needed: when a buffer is full, zlib allocates a second one.
    rows = inflateSync(compressed, { maxOutputLength: length, chunkSize: Math.max(MIN_CHUNK, length + 1) });
  } catch {
    return undefined;
  }
  if (rows.length !== length || !unfilter(rows, size, channels)) return undefined;
  return toRgb(rows, size, channels);
}

/** The content of the IDAT chunks, if they are adjacent, every checksum is right, and no chunk affects colours. */
function readData(bytes: Buffer): Buffer | undefined {
  const data: Buffer[] = [];
  let before = '';
  for (let at = AFTER_HEADER; at + 12 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length || crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) return undefined;
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (type === 'IEND') return data.length === 1 ? data[0] : Buffer.concat(data);
    const follows = type === 'IDAT' && (data.length === 0 || before === 'IDAT');
    if (follows) data.push(bytes.subarray(at + 8, end));
    else if (!IGNORED.has(type)) return undefined;
    before = type;
    at = end + 4;
  }
  return undefined;
}

/** Undoes the rows' filters in place; false if a filter does not exist. */
function unfilter(rows: Buffer, size: number, channels: number): boolean {
  const stride = size * channels + 1;
  for (let y = 0; y < size; y++) {
    const row = y * stride + 1;
    const filter = rows[row - 1] as number;
    if (filter > 4) return false;
    if (filter === 0) continue;
    for (let i = 0; i < stride - 1; i++) {
      const at = row + i;
      const left = i < channels ? 0 : (rows[at - channels] as number);
      const up = y === 0 ? 0 : (rows[at - stride] as number);
      const corner = i < channels || y === 0 ? 0 : (rows[at - stride - channels] as number);
      rows[at] = (rows[at] as number) + predict(filter, left, up, corner);
    }
  }
  return true;
}

function predict(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const estimate = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function toRgb(rows: Buffer, size: number, channels: number): Uint8Array | undefined {
  const pixels = new Uint8Array(size * size * 3);
  let to = 0;
  for (let y = 0; y < size; y++) {
    let from = y * (size * channels + 1) + 1;
    if (channels === 3) {
      to += rows.copy(pixels, to, from, from + size * 3);
      continue;
    }
    for (let x = 0; x < size; x++, from += channels) {
      if (rows[from + 3] !== 255) return undefined;
      pixels[to++] = rows[from] as number;
      pixels[to++] = rows[from + 1] as number;
      pixels[to++] = rows[from + 2] as number;
    }
  }
  return pixels;
}
