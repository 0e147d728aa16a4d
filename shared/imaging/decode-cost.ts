import { AppError } from '../request/errors.ts';
import type { EncodedPicture } from '../wire/picture.ts';
import { isOneScan, type JpegHeader, kindOf, MAX_SEGMENTS, readJpegHeader } from './jpeg/jpeg-header.ts';
import { chunksOf, IDAT, readPngHeader } from './png/png-header.ts';
import { firstStep, isLarge } from './shrunk.ts';

export interface DecodeCost {
  width: number;
  height: number;
  /** Upper bound of the bytes held at once. */
  memory: number;
  /** Estimate for an idle machine of 2024. */
  milliseconds: number;
  /** The kind of file, for error messages. */
  kind: string;
  /** The file is decoded without being held whole, and holds as many pixels as it states. */
  shrinks: boolean;
  /** It must be shrunk while it is read, or it would take more memory than is allowed. */
  shrunk?: boolean;
  /** The parts that the file has too many of: going through them takes seconds or more. */
  excess?: string;
}

/**
 * Estimates the cost of decoding a file to a square of `side` pixels, before a decoder sees it. Most files are read a
 * few rows at a time. Progressive JPEGs, interlaced PNGs and WebPs are held whole: 1 MB of file can take hundreds.
 * Decoders also go through all pixels for every scan of a JPEG, through all earlier frames for every frame of a WebP,
 * and keep several copies of metadata. Undefined for a file without a readable header, which decoders refuse. Throws
 * AppError `corrupt-image` for an impossible header.
 */
export function decodeCost(
  bytes: Uint8Array,
  type: EncodedPicture['type'],
  side: number,
  allowed: number,
): DecodeCost | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return formats[type](file, side, allowed);
}

/** Bytes that all decoding at once may take. */
export function memoryFor(maxPixels: number): number {
  return Math.max(MIN_MEMORY, BYTES_PER_PIXEL * maxPixels);
}

const BYTES_PER_PIXEL = 3;
const MIN_MEMORY = 32 * 1024 * 1024;

// Measured with libvips: a picture that is read row by row takes as much as this many of its rows (of the shrunk rows,
// if a JPEG is shrunk by 8 while it is read); one with few rows, this many times all of it.
const ROWS = 1000;
const COPIES = 11;

const BLOCK = 64; // pixels
const BLOCKS_PER_BYTE = 4;

const MAX_SCANS = 100;
const MAX_CHUNKS = 1000;
const MAX_PIECES = 50_000; // of the data of a PNG
const MAX_FRAMES = 1000;

const formats: Record<EncodedPicture['type'], (file: Buffer, side: number, allowed: number) => DecodeCost | undefined> =
  {
    'image/jpeg': jpeg,
    'image/png': png,
    'image/webp': webp,
  };

const FRAME = 'ANMF';
const START_OF_SCAN = Buffer.from([0xff, 0xda, 0x00]);
/** Segments that libvips keeps: Exif and XMP, colour profiles, Photoshop's. */
const KEPT_SEGMENTS = [0xe1, 0xe2, 0xed].map((marker) => Buffer.from([0xff, marker]));

function passing(width: number, height: number, side: number, bytesPerPixel: number): number {
  return Math.min(COPIES * height, ROWS + 2 * side) * width * bytesPerPixel;
}

function png(file: Buffer, side: number): DecodeCost {
  const { width, height, channels, depth, interlaced } = readPngHeader(file);
  const bytesPerPixel = (channels + Number(file.includes('tRNS', 33, 'latin1'))) * (depth === 16 ? 2 : 1);
  const all = width * height * bytesPerPixel;
  const memory = passing(width, height, side, bytesPerPixel) + (interlaced ? all : 0);
  const kind = interlaced ? 'interlaced PNG' : 'PNG';
  const cost = { width, height, memory, milliseconds: 5e-6 * all, kind, shrinks: false };
  let [pieces, chunks] = [0, 0];
  for (const { type } of chunksOf(file)) {
    if (type === IDAT) pieces += 1;
    else chunks += 1;
    if (chunks > MAX_CHUNKS || pieces > MAX_PIECES) return { ...cost, excess: 'chunks' };
  }
  return cost;
}

function webp(file: Buffer, side: number, allowed: number): DecodeCost | undefined {
  if (file.length < 30) return undefined;
  const first = file.toString('latin1', 12, 16);
  const cost = (width: number, height: number, held: number) => webpCost(width, height, side, held, allowed);
  if (first === 'VP8 ') return cost(file.readUInt16LE(26) & 0x3fff, file.readUInt16LE(28) & 0x3fff, 0);
  if (first === 'VP8L') {
    const bits = file.readUInt32LE(21);
    return cost((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, 4);
  }
  if (first !== 'VP8X') return undefined;
  const [width, height] = [file.readUIntLE(24, 3) + 1, file.readUIntLE(27, 3) + 1];
  if (width * height >= 2 ** 32) throw new AppError('corrupt-image', `a WebP cannot have ${width} x ${height} pixels`);
  const [animated, transparent] = [(file[20] as number) & 0x02, (file[20] as number) & 0x10];
  const excess = count(file, FRAME, MAX_FRAMES) > MAX_FRAMES ? 'frames' : undefined;
  // An animation holds the canvas, one frame for it, and what the frame is made of. A transparent picture holds a
  // lossless picture for its alpha.
  const held = animated ? 12 : file.includes('VP8L', 30, 'latin1') ? 4 : transparent ? 5 : 0;
  return { ...cost(width, height, held), ...(excess && { excess }) };
}

/** `held`: bytes per pixel on top of the decoded picture, which libvips holds twice. */
function webpCost(width: number, height: number, side: number, held: number, allowed: number): DecodeCost {
  const pixels = width * height;
  const memory = (scale: number) => Math.ceil(pixels * (held + 8 * scale ** 2));
  const cost = { width, height, milliseconds: 12e-6 * pixels, kind: 'WebP', shrinks: false };
  if (memory(1) <= allowed || !isLarge(width, height, side)) return { ...cost, memory: memory(1) };
  return { ...cost, memory: memory(1 / firstStep(width, height, side)), shrunk: true };
}

function jpeg(file: Buffer, side: number): DecodeCost | undefined {
  const header = readJpegHeader(file);
  if (header === undefined) return undefined;
  const unknown = { width: 0, height: 0, memory: 0, milliseconds: 0, kind: 'JPEG', shrinks: true };
  if (header === 'segments') return { ...unknown, excess: header };
  const { width, height, components } = header;
  const pixels = width * height;
  const shrink = isLarge(width, height, side) && components.length < 4 ? 8 : 1;
  const passed = passing(width, height, side, 4) / shrink;
  const inFull = shrink === 1 ? 2.7e-6 * pixels : 0;
  const read = inFull + 14e-6 * (file.length - header.dataAt);
  if (isOneScan(header)) {
    const copy = header.marker === 0xc9 ? file.length : 0;
    const kind = header.marker === 0xc9 ? 'arithmetic JPEG' : 'JPEG';
    // A block takes at least two bits: a file of a few bytes that claims to be huge is not exempt from limits.
    const shrinks = coefficients(header) / BLOCK <= BLOCKS_PER_BYTE * (file.length - header.dataAt);
    return { width, height, memory: passed + copy, milliseconds: read + 0.9e-6 * pixels, kind, shrinks };
  }
  const excess = jpegExcess(file, header.scanAt);
  return {
    width,
    height,
    memory: Math.ceil(2 * coefficients(header) + passed) + file.length, // and a mended copy
    milliseconds: read + 8e-6 * pixels,
    kind: kindOf(header) === 'progressive' ? 'progressive JPEG' : 'JPEG of several scans',
    shrinks: true,
    ...(excess && { excess }),
  };
}

function coefficients({ width, height, components }: JpegHeader): number {
  const samplings = components.map(({ across, down }) => across * down);
  const most = Math.max(1, ...samplings);
  return width * height * samplings.reduce((sum, one) => sum + one / most, 0);
}

/** A JPEG that is held whole is read to its end before the first pixel is there. */
function jpegExcess(file: Buffer, from: number): string | undefined {
  if (count(file, START_OF_SCAN, MAX_SCANS, from, isScan) > MAX_SCANS) return 'scans';
  const kept = KEPT_SEGMENTS.reduce((sum, mark) => sum + count(file, mark, MAX_SEGMENTS, from), 0);
  return kept > MAX_SEGMENTS ? 'segments' : undefined;
}

/**
 * Whether a scan starts at `at`: its length follows from its number of components, 1 to 4, which other data rarely
 * matches.
 */
function isScan(file: Buffer, at: number): boolean {
  const components = file[at + 4] ?? 0;
  return components >= 1 && components <= 4 && file[at + 3] === 6 + 2 * components;
}

/** Counts a mark; stops once there are more than `enough`. */
function count(
  file: Buffer,
  mark: Buffer | string,
  enough: number,
  from = 0,
  counts = (_: Buffer, __: number) => true,
): number {
  let found = 0;
  for (let at = file.indexOf(mark, from); at >= 0 && found <= enough; at = file.indexOf(mark, at + 1)) {
    if (counts(file, at)) found += 1;
  }
  return found;
}
