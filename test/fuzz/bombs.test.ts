import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deflatedZeros, makePng, pngChunk } from '../support/fuzz/png.ts';
import { DEADLINE_MS, type HttpAnswer, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { repair, unitsOf, writeSize } from '../support/fuzz/units.ts';

/** Small files that would grow large, and bodies as large as may be, several at a time: memory stays bounded. */
let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false });
});
afterEach(() => system.watched.inspect());
afterAll(async () => {
  console.log(`bombs: ${system.watched.summary()}`);
  await system[Symbol.asyncDispose]();
});

const AT_ONCE = 5;

async function send(type: string, body: Uint8Array<ArrayBuffer>): Promise<HttpAnswer> {
  const response = await fetch(`${system.url}/classify?strategy=edge&deadlineMs=${6 * DEADLINE_MS}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
    signal: AbortSignal.timeout(6 * DEADLINE_MS + SLACK_MS),
  });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

const flat = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#804020' }, limitInputPixels: false });

/** The file with its last unit of that name so many times over. */
function repeated(file: Buffer, name: string, times: number): Buffer {
  const unit = unitsOf(file).findLast((one) => one.name === name);
  if (!unit) throw new Error(`no ${name}`);
  const piece = file.subarray(unit.start, unit.end);
  const made = Buffer.concat([file.subarray(0, unit.end), ...Array(times).fill(piece), file.subarray(unit.end)]);
  repair(made);
  return made;
}

function resized(file: Buffer, width: number, height: number): Buffer {
  writeSize(file, width, height);
  repair(file);
  return file;
}

const small = { width: 50, height: 50, depth: 8, colour: 2 };
const keyword = Buffer.from('a\0\0', 'latin1');

const files: [name: string, codes: (string | undefined)[], make: () => Buffer | Promise<Buffer>][] = [
  [
    'PNG of 16,000 x 16,000',
    ['too-many-pixels'],
    () => makePng({ ...small, width: 16_000, height: 16_000, depth: 1, colour: 0 }),
  ],
  ['PNG of 2,000,000,000 x 1', ['too-many-pixels', 'corrupt-image'], () => resized(makePng(small), 2_000_000_000, 1)],
  [
    'PNG of 20,000,000 x 2',
    ['too-many-pixels'],
    () => makePng({ ...small, width: 20_000_000, height: 2, depth: 16, colour: 6 }),
  ],
  ['PNG of 1,000,000 x 40', ['too-many-pixels'], () => makePng({ width: 1_000_000, height: 40, depth: 16, colour: 6 })],
  ['PNG of 20,000 x 2,500', [undefined], () => makePng({ width: 20_000, height: 2500, depth: 16, colour: 2 })],
  [
    'PNG of 7,000 x 7,000, 16 bits, alpha',
    [undefined],
    () => makePng({ width: 7000, height: 7000, depth: 16, colour: 6 }),
  ],
  [
    'interlaced PNG of 7,000 x 7,000, 16 bits',
    ['too-many-pixels'],
    () => makePng({ width: 7000, height: 7000, depth: 16, colour: 6, interlaced: true }),
  ],
  [
    'interlaced PNG of 5,000 x 5,000',
    [undefined],
    () => makePng({ width: 5000, height: 5000, depth: 8, colour: 6, interlaced: true }),
  ],
  [
    'PNG with 200 MB of text in 200 kB',
    [undefined, 'corrupt-image'],
    () => makePng(small, [pngChunk('zTXt', Buffer.concat([keyword, deflatedZeros(2e8)]))]),
  ],
  [
    'PNG with 200 MB of profile in 200 kB',
    [undefined, 'corrupt-image'],
    () => makePng(small, [pngChunk('iCCP', Buffer.concat([keyword, deflatedZeros(2e8)]))]),
  ],
  [
    'PNG with 50,000 texts',
    ['too-many-pixels'],
    () => makePng(small, Array(50_000).fill(pngChunk('tEXt', Buffer.from('a\0b')))),
  ],
  ['PNG in 100,000 pieces', ['too-many-pixels'], () => makePng(small, [], 100_000)],
  [
    'JPEG of 65,500 x 65,500',
    ['too-many-pixels'],
    async () => resized(await flat(64, 64).jpeg().toBuffer(), 65_500, 65_500),
  ],
  [
    'progressive JPEG of 8,000 x 6,000',
    ['too-many-pixels'],
    () => flat(8000, 6000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
  ],
  [
    'progressive JPEG of 5,000 x 4,000',
    [undefined],
    () => flat(5000, 4000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(),
  ],
  [
    'JPEG with 3,000 scans',
    ['too-many-pixels'],
    async () => repeated(await flat(2000, 2000).jpeg({ progressive: true }).toBuffer(), 'da', 3000),
  ],
  [
    'JPEG with 10,000 segments',
    ['too-many-pixels'],
    async () => repeated(await flat(64, 64).jpeg().withMetadata({ orientation: 3 }).toBuffer(), 'e1', 10_000),
  ],
  [
    'lossless WebP of 7,000 x 7,000 in 40 bytes',
    ['too-many-pixels'],
    () => flat(7000, 7000).webp({ lossless: true, effort: 0 }).toBuffer(),
  ],
  [
    'lossless WebP of 5,000 x 5,000',
    [undefined],
    () => flat(5000, 5000).webp({ lossless: true, effort: 0 }).toBuffer(),
  ],
  [
    'WebP of 16,383 x 16,383',
    ['too-many-pixels', 'corrupt-image'],
    async () => resized(await flat(64, 64).webp().toBuffer(), 16_383, 16_383),
  ],
  [
    'animated WebP with 10,000 frames',
    ['too-many-pixels'],
    async () => repeated(await frames().toBuffer(), 'ANMF', 10_000),
  ],
];

function frames() {
  const pixels = Uint8Array.from({ length: 24 * 48 * 3 }, (_, i) => (i * 7) % 256);
  return sharp(pixels, { raw: { width: 24, height: 48, channels: 3, pageHeight: 16 } }).webp({ loop: 0 });
}

describe.each(files)('bombs: %s', (_, codes, make) => {
  test(`${AT_ONCE} at once`, async () => {
    const body = new Uint8Array(await make());
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => send('image/png', body)));
    for (const answer of answers) expect(codes).toContain(requireProper(answer));
  }, 120_000);
});

const LARGEST = 20 * 1024 * 1024;

/** Bytes of the largest size that begin and end so. */
function filled(begin: Uint8Array | string, filler: string, end = ''): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(LARGEST).fill(filler.charCodeAt(0));
  body.set(Buffer.from(begin));
  body.set(Buffer.from(end), LARGEST - end.length);
  return body;
}

type Body = Uint8Array<ArrayBuffer>;
const json = 'application/json';
const bodies: [name: string, type: string, code: string | undefined, make: () => Body | Promise<Body>][] = [
  ['zeros', 'image/png', 'not-an-image', () => filled('', '\0')],
  ['spaces and no SVG', 'image/png', 'not-an-image', () => filled('', ' ')],
  ['base64', json, 'not-an-image', () => filled('{"image":"AA', 'A', '"}')],
  ['almost base64', json, 'invalid-body', () => filled('{"image":"', 'A', '%"}')],
  ['brackets', json, 'invalid-body', () => filled('', '[')],
  ['one byte too many', 'image/png', 'payload-too-large', () => new Uint8Array(LARGEST + 1)],
  [
    'a progressive JPEG of 5,000 x 4,000 and zeros',
    'image/jpeg',
    undefined,
    async () => filled(await flat(5000, 4000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(), '\0'),
  ],
];

/** What is said while the memory for bodies is taken; a caller still sending may not even hear it. */
const FULL = ['request-timeout', 'overloaded', 'unheard'];

describe.each(bodies)('bombs: 20 MB of %s', (_, type, code, make) => {
  test(`${AT_ONCE} at once`, async () => {
    const body = await make();
    const unheard = () => ({ text: '{"code":"unheard"}' });
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => send(type, body).catch(unheard)));
    const codes = answers.map(({ text }) => JSON.parse(text).code);
    expect(codes).toContain(code);
    expect(codes.filter((one) => one !== code && !FULL.includes(one))).toEqual([]);
    expect(requireProper(await send(type, body))).toBe(code);
  }, 120_000);
});
