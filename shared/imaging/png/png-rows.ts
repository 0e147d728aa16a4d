import { constants, inflateSync } from 'node:zlib';
import { chunksOf, IDAT, type PngHeader } from './png-header.ts';

const MAX_BYTES = 65_536;
const MIN_CHUNK = 64; // Node allows no smaller one

/** Whether a PNG, which may be cut anywhere, has at least one row, so that something can be shown. */
export function hasRow(file: Buffer, { width, depth, channels }: PngHeader): boolean {
  const data: Buffer[] = [];
  let size = 0;
  for (const { type, at, length } of chunksOf(file)) {
    if (size >= MAX_BYTES) break;
    if (type !== IDAT) continue;
    const piece = file.subarray(at, at + Math.min(length, MAX_BYTES));
    data.push(piece);
    size += piece.length;
  }
  const row = Math.ceil((width * channels * depth) / 8);
  try {
    // Not more at once: damage after the row must not count.
    const chunkSize = Math.max(MIN_CHUNK, row + 1);
    inflateSync(Buffer.concat(data), { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: row, chunkSize });
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
  }
}
