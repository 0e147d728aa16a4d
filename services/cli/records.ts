import { readFile } from 'node:fs/promises';
import type { Pixels } from '../../shared/wire/picture.ts';
import { UsageError } from './usage.ts';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 2 + 3 * PLANE;

export interface LabelledPixels {
  label: number;
  pixels: Pixels;
}

/** The file's bytes. Throws UsageError for a folder. */
export async function readRecordFile(path: string): Promise<Buffer> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EISDIR'
      ? new UsageError(`${path} is a folder; name a file of CIFAR-100 records in it`)
      : error;
  });
}

/** Reads CIFAR-100 binary records: coarse label, fine label, then R, G and B planes. Throws UsageError. */
export async function readRecords(path: string, labels: number, limit: number): Promise<LabelledPixels[]> {
  const bytes = await readRecordFile(path);
  if (bytes.length === 0 || bytes.length % RECORD !== 0) {
    throw new UsageError(`${path}: ${bytes.length} bytes are not a whole number of ${RECORD}-byte records`);
  }
  const count = Math.min(limit, bytes.length / RECORD);
  return Array.from({ length: count }, (_, i) => {
    const record = bytes.subarray(i * RECORD, (i + 1) * RECORD);
    const label = record[1] as number;
    if (label >= labels)
      throw new UsageError(`${path}: record ${i} has label ${label}, the bundle has ${labels} labels`);
    const pixels = new Uint8Array(3 * PLANE);
    for (let at = 0; at < PLANE; at++) {
      for (let channel = 0; channel < 3; channel++) {
        pixels[at * 3 + channel] = record[2 + channel * PLANE + at] as number;
      }
    }
    return { label, pixels: { pixels, width: SIDE, height: SIDE } };
  });
}
