import { constants, inflateSync } from 'node:zlib';
import type { PngHeader } from './png-header.ts';

const IDAT = 0x49444154;
const MOST_BYTES = 65_536;
const LEAST_CHUNK = 64; // Node takes no smaller one

/** Whether there is at least one row in a PNG that may end anywhere: what can be shown of it is not nothing. */
export function hasRow(file: Buffer, { width, depth, channels }: PngHeader): boolean {
  const data: Buffer[] = [];
  let size = 0;
  for (let at = 8; at + 8 < file.length && size < MOST_BYTES; at += 12 + file.readUInt32BE(at)) {
    if (file.readUInt32BE(at + 4) !== IDAT) continue;
    const piece = file.subarray(at + 8, Math.min(at + 8 + file.readUInt32BE(at), at + 8 + MOST_BYTES));
    data.push(piece);
    size += piece.length;
  }
  const row = Math.ceil((width * channels * depth) / 8);
  try {
    // No more is asked for at once: what is wrong behind it must not count.
    const chunkSize = Math.max(LEAST_CHUNK, row + 1);
    inflateSync(Buffer.concat(data), { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: row, chunkSize });
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
  }
}
