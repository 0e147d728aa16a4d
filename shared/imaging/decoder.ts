import type { Deadline } from '../request/deadline.ts';
import { AppError } from '../request/errors.ts';
import { mediaTypeOf } from '../wire/media-type.ts';
import type { Pixels } from '../wire/picture.ts';
import { type DecodedPicture, decodePicture, fitPixels, type InputRule } from './codec.ts';
import { type DecodeCost, decodeCost, memoryFor } from './decode-cost.ts';
import { createDecodeTimes } from './decode-times.ts';
import { Budget } from './memory-budget.ts';

/** Decoding runs on libuv's pool of four threads. */
const DECODERS = 4;
/** A decode shorter than this is never refused as too slow: the slowness may be momentary. */
const MIN_MS = 20;

type Decoder = (
  picture: Uint8Array | Pixels,
  rule: InputRule,
  deadline: Pick<Deadline, 'left' | 'milliseconds' | 'signal'>,
) => Promise<DecodedPicture>;

/**
 * `decodePicture` and `fitPixels` for many callers. All decodes together hold at most three bytes of memory for each of
 * `maxPixels`. The others wait; if aborted meanwhile they reject with the signal's reason. A file that needs more than
 * that alone is `too-many-pixels`; so is one with more pixels, unless it can be shrunk while it is read. One that would
 * take longer than its deadline is `too-slow-to-decode`, before it is begun.
 */
export function createDecoder(maxPixels: number): Decoder {
  const total = memoryFor(maxPixels);
  const least = total / DECODERS;
  const budget = new Budget(total);
  const times = createDecodeTimes();

  return async (picture, rule, deadline) => {
    const { signal } = deadline;
    if ('pixels' in picture) {
      const { width, height } = picture;
      if (width * height > maxPixels) throw tooManyPixels(width, height, maxPixels);
      return budget.use(least, signal, () => fitPixels(picture, rule));
    }
    const type = mediaTypeOf(picture);
    const cost = type && decodeCost(picture, type, rule.side, total);
    if (cost === undefined) return budget.use(least, signal, () => decodePicture(picture, rule, maxPixels));
    requireAffordable(cost, total, maxPixels);
    const { kind, milliseconds, memory } = cost;
    const requireTime = () => {
      const estimatedMs = times.estimate(kind, milliseconds);
      if (estimatedMs <= Math.max(MIN_MS, deadline.left)) return;
      times.skip(kind);
      throw tooSlow(cost, estimatedMs, deadline);
    };
    requireTime();
    return budget.use(Math.max(memory, least), signal, async () => {
      requireTime(); // again, since it may have waited long
      const begun = performance.now();
      const pixels = await decodePicture(picture, rule, maxPixels);
      times.record(kind, milliseconds, performance.now() - begun);
      return pixels;
    });
  };
}

function requireAffordable(cost: DecodeCost, total: number, maxPixels: number): void {
  const { width, height, kind, memory, excess, shrinks } = cost;
  if (excess) throw new AppError('too-many-pixels', `the file has too many ${excess}; save it anew, without extras`);
  if (!shrinks && width * height > maxPixels) throw tooManyPixels(width, height, maxPixels, kind);
  if (memory <= total) return;
  const needs = `decoding this ${kind} of ${width} x ${height} takes ${Math.ceil(memory / 1e6)} MB`;
  const limit = `${Math.floor(total / 1e6)} MB are allowed (three bytes for each of ASK_MAX_PIXELS=${maxPixels})`;
  throw new AppError('too-many-pixels', `${needs}, ${limit}; ${advice(width, height, total / memory, kind)}`);
}

function tooManyPixels(width: number, height: number, maxPixels: number, kind = 'picture'): AppError {
  const limit = `at most ${maxPixels} pixels are accepted in a ${kind} (ASK_MAX_PIXELS)`;
  const help = advice(width, height, maxPixels / (width * height), kind);
  return new AppError('too-many-pixels', `${width} x ${height} is too large, ${limit}; ${help}`);
}

function tooSlow(
  { width, height, kind }: DecodeCost,
  estimatedMs: number,
  deadline: { left: number; milliseconds: number },
) {
  const needs = `decoding this ${kind} of ${width} x ${height} takes about ${Math.ceil(estimatedMs)} ms`;
  const left = `${Math.floor(deadline.left)} of ${deadline.milliseconds} ms are left (deadlineMs, ASK_DEADLINE_MS)`;
  const help = `allow more time, or ${advice(width, height, deadline.left / estimatedMs, kind)}`;
  return new AppError('too-slow-to-decode', `${needs}, ${left}; ${help}`);
}

/** What would be accepted; `share`: the share of the pixels. */
function advice(width: number, height: number, share: number, kind: string): string {
  const scale = Math.sqrt(share);
  const [across, down] = [width, height].map((side) => Math.max(1, Math.floor(scale * side)));
  return `shrink it to ${across} x ${down}${kind === 'JPEG' ? '' : ', or send a baseline JPEG'}`;
}
