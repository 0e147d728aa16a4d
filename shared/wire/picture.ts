import { AppError } from '../request/errors.ts';

/** The media type of raw pixels; `; width=W; height=H` gives their layout. */
export const PIXELS_TYPE = 'image/x-rgb8';
const RGB8 = /^image\/x-rgb8; *width=(\d{1,5}); *height=(\d{1,5})$/i;

/** 8-bit RGB, row by row: `pixels.length === width * height * 3`. */
export interface Pixels {
  pixels: Uint8Array;
  width: number;
  height: number;
}

export const mediaTypes = ['image/jpeg', 'image/png', 'image/webp'] as const;

/** A picture as a file's bytes. */
export interface EncodedPicture {
  bytes: Uint8Array;
  type: (typeof mediaTypes)[number];
}

/**
 * Reads bytes as raw pixels of a type such as `image/x-rgb8; width=32; height=32`; undefined for another type. Throws
 * AppError `invalid-body` if their number does not match.
 */
export function readPixels(type: string, bytes: Uint8Array): Pixels | undefined {
  const layout = RGB8.exec(type);
  if (!layout) return undefined;
  const [width, height] = [Number(layout[1]), Number(layout[2])];
  if (bytes.length === 0 || bytes.length !== width * height * 3) {
    throw new AppError('invalid-body', `${bytes.length} bytes are not ${width} x ${height} RGB pixels`);
  }
  return { pixels: bytes, width, height };
}
