import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodePicture, type InputRule } from '../../../shared/imaging/codec.ts';
import { AppError } from '../../../shared/request/errors.ts';
import { changeSegments, EOI, makeRestarts, segment, takeApart } from '../../support/jpeg.ts';
import { makePhoto, open } from '../../support/photos.ts';

const rule: InputRule = { side: 32, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };
const SEGMENTS = { huffman: 0xc4, jfif: 0xe0 };
const part = (file: Buffer, share: number) => file.subarray(0, Math.floor(share * file.length));
const ended = (file: Buffer) => Buffer.concat([file, EOI]);

/** 'whole', what is wrong, or the code of the refusal. */
async function look(file: Buffer): Promise<string> {
  return decodePicture(file, rule, 5e7).then(
    ({ damage }) => damage ?? 'whole',
    (error) => (error instanceof AppError ? error.code : String(error)),
  );
}

/** Of one camera: the same tables. Two scenes; then as large files, progressive, and without Huffman tables. */
let frame: Buffer;
let other: Buffer;
let large: Buffer;
let progressive: Buffer;
let grey: Buffer;
beforeAll(async () => {
  const [photo, scene] = [await makePhoto(480, 320), await makePhoto(320, 480)];
  const camera = { quality: 80, optimizeCoding: false };
  frame = await open(photo).jpeg(camera).toBuffer();
  other = await open(scene).rotate(90).jpeg(camera).toBuffer();
  large = await open(photo).resize(1600, 1100).jpeg({ quality: 95 }).toBuffer();
  progressive = await open(photo).jpeg({ progressive: true }).toBuffer();
  grey = await open(photo).greyscale().jpeg().toBuffer();
  expect(large.length).toBeGreaterThan(256 * 1024);
});

describe('damage: an incomplete JPEG is marked', () => {
  test.each([0.3, 0.5, 0.9, 0.99])('cut after %d of it, with and without an end marker', async (share) => {
    for (const [name, file] of Object.entries({ frame, large, grey })) {
      expect(await look(part(file, share)), name).toBe('cut-short');
      if (name !== 'large' || share < 0.9) expect(await look(ended(part(file, share))), name).toBe('cut-short');
    }
  });

  test('without its last byte of data', async () => {
    const { head, data, end } = takeApart(frame);
    expect(await look(Buffer.concat([head, data.subarray(0, -1), end]))).not.toBe('whole');
  });

  test('cut, if progressive', async () => {
    for (const share of [0.3, 0.5, 0.9]) {
      expect(await look(part(progressive, share))).toBe('unreadable-data');
      expect(await look(ended(part(progressive, share)))).toBe('unreadable-data');
    }
  });

  test('halves of two frames, either way, whole frames behind a half', async () => {
    const [front, back] = [frame, other].map((file) => [part(file, 0.5), file.subarray(file.length / 2)]) as [
      Buffer[],
      Buffer[],
    ];
    expect(await look(Buffer.concat([front[0], back[1]] as Buffer[]))).not.toBe('whole');
    expect(await look(Buffer.concat([back[0], front[1]] as Buffer[]))).not.toBe('whole');
    expect(await look(Buffer.concat([front[0] as Buffer, other]))).toBe('cut-short');
  });

  test('bytes lost or sent twice on the way', async () => {
    const { head, data, end } = takeApart(frame);
    const [from, to] = [Math.floor(data.length / 3), Math.floor(data.length / 3) + 1400];
    expect(await look(Buffer.concat([head, data.subarray(0, from), data.subarray(to), end]))).not.toBe('whole');
    expect(await look(Buffer.concat([head, data.subarray(0, to), data.subarray(from), end]))).not.toBe('whole');
  });

  test('a large one: two halves, bytes left out, sent twice or written over', async () => {
    const photo = await makePhoto(2000, 2000);
    const make = (angle: number) =>
      open(photo).rotate(angle).jpeg({ quality: 95, chromaSubsampling: '4:4:4', optimizeCoding: false }).toBuffer();
    const [{ head, data, end }, { data: rest }] = [takeApart(await make(0)), takeApart(await make(90))];
    expect(data.length).toBeGreaterThan(1024 * 1024);
    const share = (from: number, to: number) => data.subarray(from * data.length, to * data.length);
    const noise = Buffer.from(Array.from({ length: 64 }, (_, i) => (37 * i) % 255));
    const spliced = {
      halves: [share(0, 0.5), rest.subarray(rest.length / 2)],
      'left out': [share(0, 0.4), share(0.45, 1)],
      'sent twice': [share(0, 0.5), share(0.4, 1)],
      'written over': [share(0, 0.5), noise, data.subarray(0.5 * data.length + 64)],
      'cut short': [share(0, 0.97)],
    };
    for (const [name, pieces] of Object.entries(spliced)) {
      expect(['cut-short', 'spliced', 'unreadable-data'], name).toContain(
        await look(Buffer.concat([head, ...pieces, end])),
      );
    }
    expect(await look(Buffer.concat([head, data, end]))).toBe('whole');
  });

  test('a restart interval that is missing, twice there, or short', async () => {
    const whole = makeRestarts(40, 30, 40);
    const at = (n: number) => whole.indexOf(Buffer.from([0xff, 0xd0 + n]));
    const without = Buffer.concat([whole.subarray(0, at(1)), whole.subarray(at(2))]);
    const twice = Buffer.concat([whole.subarray(0, at(2)), whole.subarray(at(1))]);
    const short = Buffer.concat([whole.subarray(0, at(1) - 4), whole.subarray(at(1))]);
    for (const file of [without, twice, short]) expect(await look(file)).not.toBe('whole');
  });

  test('or refused, if not even one block is there', async () => {
    for (const file of [frame, large, grey]) {
      const { head } = takeApart(file);
      expect(await look(head)).toBe('corrupt-image');
      expect(await look(ended(head))).toBe('corrupt-image');
    }
  });
});

describe('damage: a complete but unusual JPEG is not marked', () => {
  test.each<[string, () => Buffer]>([
    ['as made', () => frame],
    ['large', () => large],
    ['progressive', () => progressive],
    ['grey', () => grey],
    ['without an end marker', () => frame.subarray(0, -2)],
    ['large and without an end marker', () => large.subarray(0, -2)],
    ['progressive and without an end marker', () => progressive.subarray(0, -2)],
    ['without Huffman tables (motion JPEG)', () => changeSegments(frame, SEGMENTS.huffman, () => Buffer.alloc(0))],
    ['with zeros behind it', () => Buffer.concat([frame, Buffer.alloc(5000)])],
    ['with zeros before its end', () => Buffer.concat([frame.subarray(0, -2), Buffer.alloc(500), EOI])],
    ['with a film behind it (Motion Photo)', () => Buffer.concat([frame, Buffer.from('....ftypmp42'), other])],
    ['with another picture behind it', () => Buffer.concat([frame, other])],
    [
      'with a thumbnail',
      () => withSegment(frame, segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), part(other, 0.5)]))),
    ],
    ['with restart markers', () => makeRestarts(40, 30, 40)],
    ['with a restart marker behind each block', () => makeRestarts(40, 30, 1)],
    ['with bytes before restart markers', () => makeRestarts(40, 30, 40, Buffer.from([0, 7, 99, 1, 2]))],
    ['with padding before restart markers', () => makeRestarts(40, 30, 40, Buffer.alloc(100, 0xff))],
    ['with a scan header that says nonsense', () => withScanHeader(frame, [1, 2, 0x33])],
    ['with a scan header that says zeros', () => withScanHeader(large, [0, 0, 0])],
    ['of JFIF 7', () => changeSegments(frame, SEGMENTS.jfif, (jfif) => jfif.fill(7, 9, 10))],
    ['progressive and of JFIF 7', () => changeSegments(progressive, SEGMENTS.jfif, (jfif) => jfif.fill(7, 9, 10))],
    ['with bytes between segments', () => changeSegments(frame, SEGMENTS.jfif, padded)],
    ['progressive and with bytes between segments', () => changeSegments(progressive, SEGMENTS.jfif, padded)],
  ])('%s', async (_, make) => {
    expect(await look(make())).toBe('whole');
  });
});

describe('damage: other files', () => {
  test('a PNG is marked if a part is missing, refused if nothing is there', async () => {
    const png = await open(await makePhoto(90, 60))
      .png()
      .toBuffer();
    const data = png.indexOf('IDAT') + 4;
    expect(await look(part(png, 0.5))).toBe('cut-short');
    expect(await look(png.subarray(0, data + 20))).toBe('corrupt-image');
    expect(await look(png.subarray(0, -12))).toBe('whole'); // without its last chunk
    const broken = Buffer.from(png);
    broken[Math.floor(png.length / 2)] = (broken[Math.floor(png.length / 2)] as number) ^ 1;
    expect(await look(broken)).toBe('unreadable-data');
  });

  test('an incomplete WebP is refused: nothing of it can be shown', async () => {
    const pictures = open(await makePhoto(90, 60));
    for (const file of [await pictures.webp().toBuffer(), await pictures.webp({ lossless: true }).toBuffer()]) {
      expect(await look(part(file, 0.5))).toBe('corrupt-image');
    }
  });

  test.each([0x0100, 0x1000, 0x1fff, 0xffff])(
    'a scan header that says it is %i bytes long, beyond the end of the file, is refused at once',
    async (length) => {
      const short = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#123' } })
        .jpeg()
        .toBuffer();
      const file = short.subarray(0, short.lastIndexOf(Buffer.from('ffda', 'hex')) + 40);
      file.writeUInt16BE(Math.max(length, file.length), file.lastIndexOf(Buffer.from('ffda', 'hex')) + 2);
      expect(await look(file)).toBe('corrupt-image');
    },
  );

  test('the refusal of an undecodable file says what to do', async () => {
    const pictures = open(await makePhoto(90, 60));
    const files = [await pictures.png({ progressive: true }).toBuffer(), await pictures.webp().toBuffer()];
    for (const file of files) {
      await expect(decodePicture(file.subarray(0, 100), rule, 5e7)).rejects.toMatchObject({
        code: 'corrupt-image',
        message: expect.stringMatching(/save it anew or send it again/),
      });
    }
  });

  test('a broken JPEG is not called too large', async () => {
    const file = makeRestarts(1125, 1125, 1125); // 9000 x 9000
    const deep = Buffer.from(file);
    deep[file.indexOf(Buffer.from([0xff, 0xc0])) + 4] = 12;
    for (const broken of [deep, changeSegments(file, 0xdb, () => Buffer.alloc(0))]) {
      expect(await look(broken)).toBe('corrupt-image');
    }
  });

  test.each([0xc3, 0xc5, 0xc7, 0xcb, 0xcf])(
    'a lossless or hierarchical JPEG (%i) is refused by name',
    async (marker) => {
      const file = Buffer.from(
        await sharp({ create: { width: 64, height: 64, channels: 3, background: '#123' } })
          .jpeg()
          .toBuffer(),
      );
      file[file.indexOf(Buffer.from([0xff, 0xc0])) + 1] = marker;
      await expect(decodePicture(file, rule, 5e7)).rejects.toMatchObject({
        code: 'unsupported-media-type',
        message: expect.stringContaining(
          `JPEG (SOF${marker - 0xc0}) is not taken; send a baseline or progressive JPEG`,
        ),
      });
    },
  );
});

const padded = (one: Buffer) => Buffer.concat([one, Buffer.from([1, 2, 3])]);

function withSegment(file: Buffer, piece: Buffer): Buffer {
  return Buffer.concat([file.subarray(0, 2), piece, file.subarray(2)]);
}

/** With other bounds of the spectrum, which a sequential JPEG does not need. */
function withScanHeader(file: Buffer, bounds: number[]): Buffer {
  const changed = Buffer.from(file);
  changed.set(bounds, takeApart(file).head.length - 3);
  return changed;
}
