import { crc32 } from 'node:zlib';
import { PNG_SIGNATURE } from './png.ts';

/** A part of a picture file that its format knows: a chunk of PNG or WebP, a segment of JPEG. */
export interface Unit {
  start: number;
  end: number;
  /** Where its length stands, if it has one. */
  length?: { at: number; bytes: 2 | 4; bigEndian: boolean };
  name: string;
}

/** The parts that a file declares, from its beginning; the last one takes what is left. None for other formats. */
export function unitsOf(file: Buffer): Unit[] {
  if (file.subarray(0, 8).equals(PNG_SIGNATURE)) return pngUnits(file);
  if (file.toString('latin1', 0, 4) === 'RIFF') return riffUnits(file);
  if (file[0] === 0xff && file[1] === 0xd8) return jpegUnits(file);
  return [];
}

function pngUnits(file: Buffer): Unit[] {
  const units: Unit[] = [{ start: 0, end: 8, name: 'signature' }];
  for (let at = 8; at + 12 <= file.length; ) {
    const end = Math.min(file.length, at + 12 + file.readUInt32BE(at));
    const length = { at, bytes: 4, bigEndian: true } as const;
    units.push({ start: at, end, length, name: file.toString('latin1', at + 4, at + 8) });
    at = end;
  }
  return units;
}

function riffUnits(file: Buffer): Unit[] {
  const units: Unit[] = [{ start: 0, end: 12, length: { at: 4, bytes: 4, bigEndian: false }, name: 'RIFF' }];
  for (let at = 12; at + 8 <= file.length; ) {
    const size = file.readUInt32LE(at + 4);
    const end = Math.min(file.length, at + 8 + size + (size % 2));
    const length = { at: at + 4, bytes: 4, bigEndian: false } as const;
    units.push({ start: at, end, length, name: file.toString('latin1', at, at + 4) });
    at = end;
  }
  return units;
}

function jpegUnits(file: Buffer): Unit[] {
  const units: Unit[] = [{ start: 0, end: 2, name: 'SOI' }];
  for (let at = 2; at + 4 <= file.length && file[at] === 0xff; ) {
    const marker = file[at + 1] as number;
    let end = Math.min(file.length, at + 2 + file.readUInt16BE(at + 2));
    if (marker === 0xda) end = endOfScan(file, end);
    const length = { at: at + 2, bytes: 2, bigEndian: true } as const;
    units.push({ start: at, end, length, name: marker.toString(16) });
    at = Math.max(end, at + 2);
  }
  return units;
}

/** Where the next marker stands that does not belong to the coded data. */
function endOfScan(file: Buffer, from: number): number {
  let at = file.indexOf(0xff, from);
  while (at >= 0 && at + 1 < file.length) {
    const next = file[at + 1] as number;
    if (next !== 0 && (next < 0xd0 || next > 0xd7)) return at;
    at = file.indexOf(0xff, at + 2);
  }
  return file.length;
}

/** Writes `value` as far as it fits. */
export function writeLength(file: Buffer, unit: Unit, value: number): void {
  const { length } = unit;
  if (!length || length.at + length.bytes > file.length) return;
  if (length.bytes === 2) file.writeUInt16BE(value & 0xffff, length.at);
  else if (length.bigEndian) file.writeUInt32BE(value >>> 0, length.at);
  else file.writeUInt32LE(value >>> 0, length.at);
}

/** Declares other dimensions, wherever the format keeps them. */
export function writeSize(file: Buffer, width: number, height: number): void {
  for (const { name, start, end } of unitsOf(file)) {
    const body = file.subarray(start, end);
    if (name === 'IHDR' && body.length >= 16) {
      body.writeUInt32BE(width >>> 0, 8);
      body.writeUInt32BE(height >>> 0, 12);
    } else if (/^c[0-3]$/.test(name) && body.length >= 9) {
      body.writeUInt16BE(height & 0xffff, 5);
      body.writeUInt16BE(width & 0xffff, 7);
    } else if (name === 'VP8 ' && body.length >= 18) {
      body.writeUInt16LE(width & 0x3fff, 14);
      body.writeUInt16LE(height & 0x3fff, 16);
    } else if (name === 'VP8L' && body.length >= 13) {
      body.writeUInt32LE((((width - 1) & 0x3fff) | (((height - 1) & 0x3fff) << 14)) >>> 0, 9);
    } else if (name === 'VP8X' && body.length >= 18) {
      body.writeUIntLE((width - 1) & 0xffffff, 12, 3);
      body.writeUIntLE((height - 1) & 0xffffff, 15, 3);
    }
  }
}

/** Makes checksums and the outermost length fit again, so that a change is looked at and not refused at the door. */
export function repair(file: Buffer): void {
  for (const { name, start, end } of unitsOf(file)) {
    if (name === 'RIFF' && file.length >= 8) file.writeUInt32LE(file.length - 8, 4);
    else if (file[0] === 0x89 && end - start >= 12)
      file.writeUInt32BE(crc32(file.subarray(start + 4, end - 4)), end - 4);
  }
}
