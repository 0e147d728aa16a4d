import type { JpegHeader } from './jpeg-header.ts';

const EOI = Buffer.from([0xff, 0xd9]);

/**
 * Removes what decoders warn of although every pixel is there: odd versions, bytes between segments before the first
 * scan, a missing end. Remaining warnings concern pixels.
 */
export function mendJpeg(file: Buffer, { segments, components, scanAt }: JpegHeader): Buffer {
  const mended = segments.map(({ marker, at, end }) => {
    const segment = Buffer.from(file.subarray(at, end));
    if (marker === 0xe0 && segment.toString('latin1', 4, 9) === 'JFIF\0' && segment.length >= 11) segment[9] = 1;
    if (marker === 0xee && segment.toString('latin1', 4, 9) === 'Adobe' && (segment[15] ?? 0) > 2) {
      segment[15] = components.length === 4 ? 2 : 1; // what decoders assume
    }
    return segment;
  });
  return Buffer.concat([file.subarray(0, 2), ...mended, file.subarray(scanAt), EOI]);
}
