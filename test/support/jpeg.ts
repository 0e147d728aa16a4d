/** Pieces of JPEG files for tests that take them apart. */
export const EOI = Buffer.from([0xff, 0xd9]);

export function segment(marker: number, body: Uint8Array): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
}

/**
 * The file's head up to where the data of its first scan begins, that data, and what follows from the end marker on.
 */
export function takeApart(file: Buffer): { head: Buffer; data: Buffer; end: Buffer } {
  const scan = file.indexOf(Buffer.from([0xff, 0xda]));
  const from = scan + 2 + file.readUInt16BE(scan + 2);
  const to = file.lastIndexOf(EOI);
  return { head: file.subarray(0, from), data: file.subarray(from, to), end: file.subarray(to) };
}

/** The file with every segment of that kind, before the first scan, changed or left out. */
export function changeSegments(file: Buffer, marker: number, change: (segment: Buffer) => Buffer): Buffer {
  const pieces = [file.subarray(0, 2)];
  let at = 2;
  while (file[at + 1] !== 0xda) {
    const end = at + 2 + file.readUInt16BE(at + 2);
    const one = Buffer.from(file.subarray(at, end));
    pieces.push(file[at + 1] === marker ? change(one) : one);
    at = end;
  }
  return Buffer.concat([...pieces, file.subarray(at)]);
}

/** Restart markers after so many MCUs: a baseline JPEG of one grey value a block, 8 x 8 pixels an MCU. */
export function makeRestarts(across: number, down: number, interval: number, between = Buffer.alloc(0)): Buffer {
  const table = (id: number, symbol: number) => segment(0xc4, Buffer.from([id, 1, ...Array(15).fill(0), symbol]));
  const size = Buffer.alloc(4);
  size.writeUInt16BE(8 * down, 0);
  size.writeUInt16BE(8 * across, 2);
  const pieces: Buffer[] = [];
  for (let done = 0, restarts = 0; done < across * down; done += interval, restarts++) {
    if (done > 0) pieces.push(between, Buffer.from([0xff, 0xd0 + ((restarts - 1) & 7)]));
    // Two bits a block: code 0 (no difference), code 0 (end of block); ones fill the last byte.
    const bits = 2 * Math.min(interval, across * down - done);
    const bytes = Buffer.alloc(Math.ceil(bits / 8));
    if (bits % 8 > 0) bytes[bytes.length - 1] = (1 << (8 - (bits % 8))) - 1;
    pieces.push(bytes);
  }
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, Buffer.from([0, ...Array(64).fill(1)])),
    segment(0xc0, Buffer.from([8, ...size, 1, 1, 0x11, 0])),
    table(0x00, 0),
    table(0x10, 0),
    segment(0xdd, Buffer.from([interval >> 8, interval & 255])),
    segment(0xda, Buffer.from([1, 1, 0, 0, 63, 0])),
    ...pieces,
    EOI,
  ]);
}

/**
 * A baseline JPEG of one colour (#c86432), sides in multiples of 8, written bit by bit: encoding a hundred megapixels
 * takes seconds.
 */
export function makeFlat(width: number, height: number): Buffer {
  const sizes = Buffer.alloc(4);
  sizes.writeUInt16BE(height, 0);
  sizes.writeUInt16BE(width, 2);
  const components = Buffer.from([1, 2, 3].flatMap((id) => [id, 0x11, 0]));
  // Means by categories 0, 3 and 6 (codes 0, 10, 110), and no more than the end of a block (code 0).
  const means = segment(0xc4, Buffer.from([0x00, 1, 1, 1, ...Array(13).fill(0), 0, 3, 6]));
  const ends = segment(0xc4, Buffer.from([0x10, 1, ...Array(15).fill(0), 0]));
  // Y 124, Cb 86, Cr 182, as differences from 128; then six bits a block of three: no difference, the end.
  const first = ['10', '011', '0', '110', '010101', '0', '110', '110110', '0'].join('');
  const bits = first.length + 6 * ((width / 8) * (height / 8) - 1);
  const data = Buffer.alloc(Math.ceil(bits / 8));
  for (const [i, bit] of [...first].entries())
    if (bit === '1') data[i >> 3] = (data[i >> 3] as number) | (0x80 >> (i & 7));
  if (bits % 8 > 0) data[data.length - 1] = (data[data.length - 1] as number) | (0xff >> (bits % 8));
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, Buffer.from([0, ...Array(64).fill(8)])),
    segment(0xc0, Buffer.concat([Buffer.from([8]), sizes, Buffer.from([3]), components])),
    means,
    ends,
    segment(0xda, Buffer.from([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
    data,
    EOI,
  ]);
}
