import { AppError } from '../request/errors.ts';

/** Of pixels without a file around them; `; width=W; height=H` says their layout. */
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
 * Bytes as the picture that a type such as `image/x-rgb8; width=32; height=32` says they are; undefined if it is no such
 * type. Throws AppError `invalid-body` if they are more, fewer or none.
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
