import type { EncodedImage } from './wire.ts';

export interface DecodeCost {
  /** At most so many bytes are held at once. */
  memory: number;
  /** What the file has so many of that going through them takes seconds or more, if it does. */
  excess?: string;
}

/**
 * What decoding a file to a square of `side` pixels takes, judged before a decoder sees it. Most files are read a few
 * rows at a time. Progressive JPEGs, interlaced PNGs, and WebPs that are lossless, animated or transparent are held whole:
 * 1 MB of file can take hundreds. And decoders go through all pixels for every scan of a JPEG, for every frame of a
 * WebP through those before it, and keep what a file says about itself many times over. Free for what is no picture.
 */
export function decodeCost(bytes: Uint8Array, type: EncodedImage['type'], side: number): DecodeCost {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const structure = formats[type](file);
  if (!structure) return { memory: 0 };
  const { width, height, bytesPerPixel, held, excess } = structure;
  const shrink = type === 'image/png' ? 1 : Math.min(8, 2 ** Math.floor(Math.log2(Math.min(width, height) / side)));
  const rows = Math.min(COPIES * height, ROWS + 2 * side);
  const passing = (rows * width * bytesPerPixel) / Math.max(1, shrink);
  return { memory: Math.ceil(held + passing), ...(excess && { excess }) };
}

// Measured with libvips: a picture that passes through takes as much as this many of its rows, those of JPEGs and WebPs
// shrunk by up to 8 while they are read; one with few rows this many times all of it.
const ROWS = 1000;
const COPIES = 11;

const MOST_SEGMENTS = 2000;
const MOST_SCANS = 100;
const MOST_CHUNKS = 1000;
const MOST_PIECES = 50_000; // of the data of a PNG
const MOST_FRAMES = 1000;

interface Structure {
  width: number;
  height: number;
  bytesPerPixel: number;
  /** What is kept of the whole picture while it is decoded, in bytes. */
  held: number;
  excess?: string | undefined;
}

const formats: Record<EncodedImage['type'], (file: Buffer) => Structure | undefined> = {
  'image/jpeg': jpeg,
  'image/png': png,
  'image/webp': webp,
};

/** By PNG's colour type. */
const PNG_CHANNELS = [1, 0, 3, 3, 2, 0, 4];
const IDAT = 0x49444154;
const FRAME = 'ANMF';
const START_OF_SCAN = Buffer.from([0xff, 0xda, 0x00]);
/** Exif and XMP, colour profiles, Photoshop's own: what libvips keeps. */
const KEPT_SEGMENTS = [0xe1, 0xe2, 0xed].map((marker) => Buffer.from([0xff, marker]));

function png(file: Buffer): Structure | undefined {
  if (file.length < 29) return;
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const channels = (PNG_CHANNELS[file[25] as number] ?? 4) + Number(file.includes('tRNS', 29, 'latin1'));
  const bytesPerPixel = channels * (file[24] === 16 ? 2 : 1);
  const held = file[28] === 0 ? 0 : width * height * bytesPerPixel;
  const structure = { width, height, bytesPerPixel, held };
  let [pieces, chunks] = [0, 0];
  for (let at = 8; at + 12 <= file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.readUInt32BE(at + 4) === IDAT) pieces += 1;
    else chunks += 1;
    if (chunks > MOST_CHUNKS || pieces > MOST_PIECES) return { ...structure, excess: 'chunks' };
  }
  return structure;
}

function webp(file: Buffer): Structure | undefined {
  if (file.length < 30) return;
  const first = file.toString('latin1', 12, 16);
  if (first === 'VP8 ') return canvas(file.readUInt16LE(26) & 0x3fff, file.readUInt16LE(28) & 0x3fff, 0);
  if (first === 'VP8L') {
    const bits = file.readUInt32LE(21);
    return canvas((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, 4);
  }
  if (first !== 'VP8X') return;
  const [width, height] = [file.readUIntLE(24, 3) + 1, file.readUIntLE(27, 3) + 1];
  const [animated, transparent] = [(file[20] as number) & 0x02, (file[20] as number) & 0x10];
  const excess = count(file, FRAME, MOST_FRAMES) > MOST_FRAMES ? 'frames' : undefined;
  // The canvas, one frame on its way there, and what that is made of; what is transparent is a lossless picture by itself.
  const held = animated ? 12 : file.includes('VP8L', 30, 'latin1') ? 4 : transparent ? 5 : 0;
  return { ...canvas(width, height, held), excess };
}

function canvas(width: number, height: number, heldPerPixel: number): Structure {
  return { width, height, bytesPerPixel: 4, held: width * height * heldPerPixel };
}

/** Follows the segments up to the first scan, as decoders do: what is no marker is skipped. */
function jpeg(file: Buffer): Structure | undefined {
  let frame: (Structure & { components: number; coefficients: number; sequential: boolean }) | undefined;
  let at = file.indexOf(0xff, 2);
  for (let segments = 0; at >= 0 && at + 12 <= file.length; segments++) {
    if (segments > MOST_SEGMENTS) return { ...canvas(0, 0, 0), excess: 'segments' };
    const marker = file[at + 1] as number;
    const end = at + 2 + file.readUInt16BE(at + 2);
    if (marker === 0xda && frame) {
      const { sequential, components, coefficients } = frame;
      const whole = !sequential || (file[at + 4] as number) < components;
      return whole ? { ...frame, held: 2 * coefficients, excess: jpegExcess(file, at) } : frame;
    }
    if (isFrame(marker)) frame = jpegFrame(file, at, marker);
    const bare = marker < 0xc0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd9); // markers without a length
    at = file.indexOf(0xff, bare ? at + (marker === 0xff ? 1 : 2) : end);
  }
}

/** A JPEG that is held whole is read to its end before the first pixel is there. */
function jpegExcess(file: Buffer, from: number): string | undefined {
  if (count(file, START_OF_SCAN, MOST_SCANS, from, isScan) > MOST_SCANS) return 'scans';
  const kept = KEPT_SEGMENTS.reduce((sum, mark) => sum + count(file, mark, MOST_SEGMENTS, from), 0);
  return kept > MOST_SEGMENTS ? 'segments' : undefined;
}

/** A scan's length follows from its number of components, 1 to 4: other data rarely looks like that. */
function isScan(file: Buffer, at: number): boolean {
  const components = file[at + 4] ?? 0;
  return components >= 1 && components <= 4 && file[at + 3] === 6 + 2 * components;
}

/** SOF0 to SOF15, among whose codes there are three of other markers. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

function jpegFrame(file: Buffer, at: number, marker: number) {
  const [height, width, components] = [file.readUInt16BE(at + 5), file.readUInt16BE(at + 7), file[at + 9] as number];
  const samplings = Array.from({ length: components }, (_, i) => {
    const factors = file[at + 11 + 3 * i] ?? 0x11;
    return (factors >> 4) * (factors & 15);
  });
  const most = Math.max(1, ...samplings);
  const coefficients = width * height * samplings.reduce((sum, one) => sum + one / most, 0);
  const sequential = marker === 0xc0 || marker === 0xc1 || marker === 0xc9;
  return { ...canvas(width, height, 0), components, coefficients, sequential };
}

/** How often a mark is there; stops when it is more than `enough`. */
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
