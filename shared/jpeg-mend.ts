const EOI = Buffer.from([0xff, 0xd9]);
const COMPONENTS_AT = 9; // from the marker of a frame

/**
 * The JPEG without what decoders warn of although every pixel is there: odd versions, bytes between segments before the
 * first scan, a missing end. What is left to warn of has to do with pixels.
 */
export function mendJpeg(file: Buffer, scanAt: number): Buffer {
  const segments: Buffer[] = [file.subarray(0, 2)];
  let components = 3;
  for (let at = file.indexOf(0xff, 2); at >= 0 && at < scanAt; ) {
    const marker = file[at + 1] as number;
    if (marker < 0xc0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd9)) {
      at = file.indexOf(0xff, at + (marker === 0xff ? 1 : 2));
      continue;
    }
    const end = at + 2 + file.readUInt16BE(at + 2);
    const segment = Buffer.from(file.subarray(at, end));
    if (marker === 0xc0 || marker === 0xc1 || marker === 0xc2) components = segment[COMPONENTS_AT] ?? 3;
    if (marker === 0xe0 && segment.toString('latin1', 4, 9) === 'JFIF\0' && segment.length >= 11) segment[9] = 1;
    if (marker === 0xee && segment.toString('latin1', 4, 9) === 'Adobe' && (segment[15] ?? 0) > 2) {
      segment[15] = components === 4 ? 2 : 1; // what decoders take it for
    }
    segments.push(segment);
    at = file.indexOf(0xff, end);
  }
  return Buffer.concat([...segments, file.subarray(scanAt), EOI]);
}
