import type { Pixels } from '../wire/picture.ts';

/** TIFF's numbers of 16- and 32-bit types. */
const SHORT = 3;
const LONG = 4;
const ENTRY = 12;
const DIRECTORY = 8;

/** Pixels as an uncompressed file (TIFF 6.0): libvips rounds raw pixels differently. */
export function toTiff({ pixels, width, height }: Pixels): Buffer {
  const entries = 9;
  const behind = DIRECTORY + 2 + ENTRY * entries + 4;
  const depths = [8, 8, 8];
  const data = behind + 2 * depths.length;
  const fields: [tag: number, type: number, count: number, value: number][] = [
    [256, LONG, 1, width],
    [257, LONG, 1, height],
    [258, SHORT, depths.length, behind],
    [259, SHORT, 1, 1], // not compressed
    [262, SHORT, 1, 2], // RGB
    [273, LONG, 1, data],
    [277, SHORT, 1, depths.length],
    [278, LONG, 1, height],
    [279, LONG, 1, pixels.length],
  ];
  const head = Buffer.alloc(data);
  head.write('II*\0', 0, 'latin1');
  head.writeUInt32LE(DIRECTORY, 4);
  head.writeUInt16LE(entries, DIRECTORY);
  for (const [i, [tag, type, count, value]] of fields.entries()) {
    const at = DIRECTORY + 2 + ENTRY * i;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(type, at + 2);
    head.writeUInt32LE(count, at + 4);
    head.writeUInt32LE(value, at + 8);
  }
  for (const [i, depth] of depths.entries()) head.writeUInt16LE(depth, behind + 2 * i);
  return Buffer.concat([head, pixels]);
}
