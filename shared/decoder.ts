import { Budget } from './budget.ts';
import { decodeCost } from './decode-cost.ts';
import { AppError } from './errors.ts';
import { decodeImage, fitPixels, type InputRule } from './image.ts';
import { mediaTypeOf } from './media-type.ts';
import type { RawImage } from './wire.ts';

/** Decoding runs on libuv's pool of four threads. */
const DECODERS = 4;
const BYTES_PER_PIXEL = 3;
const LEAST_MEMORY = 32 * 1024 * 1024;

/**
 * `decodeImage` and `fitPixels` for many callers: what runs at once takes at most three bytes of memory for each of
 * `maxPixels`, and what has to wait can be given up. A file that needs more than that by itself is `too-many-pixels`. Rejects when
 * aborted before its turn with the signal's reason.
 */
export function createDecoder(
  rule: InputRule,
  maxPixels: number,
): (picture: Uint8Array | RawImage, signal: AbortSignal) => Promise<RawImage> {
  const total = Math.max(LEAST_MEMORY, BYTES_PER_PIXEL * maxPixels);
  const budget = new Budget(total);
  return async (picture, signal) => {
    if ('pixels' in picture) {
      const { width, height } = picture;
      if (width * height > maxPixels)
        throw new AppError('too-many-pixels', `${width} x ${height} is over ${maxPixels}`);
      return budget.use(total / DECODERS, signal, () => fitPixels(picture, rule));
    }
    const type = mediaTypeOf(picture);
    const { memory, excess } = type ? decodeCost(picture, type, rule.size) : { memory: 0 };
    if (excess) throw new AppError('too-many-pixels', `the file has too many ${excess}`);
    if (memory > total) {
      const megabytes = Math.ceil(memory / 1e6);
      throw new AppError('too-many-pixels', `this kind of file takes ${megabytes} MB to decode, send a smaller one`);
    }
    return budget.use(Math.max(memory, total / DECODERS), signal, () => decodeImage(picture, rule, maxPixels));
  };
}
