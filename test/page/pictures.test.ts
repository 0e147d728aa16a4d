import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Browser, choose, type PageFile, readResult, recordSent, startBrowser } from '../support/browser.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const chromium = findTool('chromium');
const RED = { r: 250, g: 10, b: 10 };
const BLUE = { r: 10, g: 10, b: 250 };

const plain = (width: number, height: number, background: typeof RED & { alpha?: number } = RED) =>
  sharp({ create: { width, height, channels: background.alpha === undefined ? 3 : 4, background } });

/** 24 bits a pixel, from the last row to the first. */
function makeBmp(width: number, height: number, { r, g, b }: typeof RED): Buffer {
  const header = Buffer.alloc(54);
  header.write('BM');
  header.writeUInt32LE(54 + 3 * width * height, 2);
  header.writeUInt32LE(54, 10);
  header.writeUInt32LE(40, 14);
  header.writeInt32LE(width, 18);
  header.writeInt32LE(height, 22);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(24, 28);
  return Buffer.concat([header, Buffer.alloc(3 * width * height, Buffer.from([b, g, r]))]);
}

const square = '<rect width="32" height="32" fill="rgb(250,10,10)"/>';
const svg = `<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">${square}</svg>`;
const ftyp = (...brands: string[]) => {
  const head = `\0\0\0\x18ftyp${brands[0]}\0\0\0\0${brands.slice(1).join('')}`;
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.alloc(4000, 7)]);
};
const heic = ftyp('heic', 'mif1', 'heic');

describe.skipIf(!chromium)('the page: pictures', () => {
  let browser: Browser;
  let system: Awaited<ReturnType<typeof startTinySystem>>;
  beforeAll(async () => {
    [browser, system] = await Promise.all([startBrowser(chromium as string), startTinySystem()]);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await system?.[Symbol.asyncDispose]();
  });

  /** What is said of a file, and what was sent for it. */
  async function tryFile(file: PageFile, url = system.url) {
    await using opened = await browser.open(url);
    const { page, faults } = opened;
    const readSent = await recordSent(page);
    await choose(page, file);
    const result = await readResult(page, file.name);
    const shown = await result.image.count();
    expect(faults).toEqual([]);
    return { ...result, shown, sent: await readSent() };
  }

  test.each<[string, string, () => Promise<Buffer>]>([
    ['JPEG', 'image/jpeg', () => plain(64, 48).jpeg().toBuffer()],
    ['PNG', 'image/png', () => flatPng(SURE_RED)],
    ['WebP', 'image/webp', () => plain(64, 48).webp().toBuffer()],
    ['a photo of 12 megapixels', 'image/jpeg', () => plain(4000, 3000).jpeg().toBuffer()],
  ])('%s is sent as it is, under the type of its bytes', async (_, type, make) => {
    const buffer = await make();
    const { sent, label, text, shown } = await tryFile({ name: 'picture.gif', mimeType: 'image/gif', buffer });
    expect(sent).toHaveLength(1);
    expect(sent[0]?.type).toBe(type);
    expect(sent[0]?.body.equals(buffer)).toBe(true);
    expect([label, shown]).toEqual(['red', 1]);
    expect(text).not.toContain('before it was sent');
  });

  test.each<[string, string, () => Promise<Buffer>]>([
    ['GIF', 'image/gif', () => plain(64, 48).gif().toBuffer()],
    ['BMP', 'image/bmp', async () => makeBmp(8, 8, RED)],
    ['AVIF', 'image/avif', () => plain(64, 48).avif({ quality: 100 }).toBuffer()],
    ['SVG', 'image/svg+xml', async () => Buffer.from(svg)],
  ])('%s is converted, and says so', async (format, mimeType, make) => {
    const { sent, label, text } = await tryFile({ name: `a ${format}`, mimeType, buffer: await make() });
    expect(text).toContain(`In this browser converted from ${format} to PNG before it was sent.`);
    expect([label, sent.length, sent[0]?.type]).toEqual(['red', 1, 'image/png']);
  });

  test('what is transparent stays so', async () => {
    const buffer = await plain(64, 48, { ...RED, alpha: 0 })
      .composite([{ input: await plain(32, 48).png().toBuffer(), left: 0, top: 0 }])
      .gif()
      .toBuffer();
    const { sent } = await tryFile({ name: 'half.gif', mimeType: 'image/gif', buffer });
    const { channels } = await sharp(sent[0]?.body).stats();
    expect([channels[3]?.min, channels[3]?.max]).toEqual([0, 255]);
  });

  test('30 megapixels are shrunk, upright, and say so', async () => {
    const blue = await plain(3000, 5000, BLUE).png().toBuffer();
    const buffer = await plain(6000, 5000)
      .composite([{ input: blue, left: 3000, top: 0 }])
      .withMetadata({ orientation: 6 }) // to be turned to the right: its left is the top
      .jpeg()
      .toBuffer();
    const { sent, text } = await tryFile({ name: 'large.jpg', mimeType: 'image/jpeg', buffer });
    expect(text).toContain(
      'In this browser shrunk from 5000 × 6000 to 1067 × 1280 and converted from JPEG to PNG before it was sent.',
    );
    const { data, info } = await sharp(sent[0]?.body).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([1067, 1280]);
    const [top, bottom] = [data.subarray(0, 3), data.subarray(-3)].map((pixel) => [...pixel]);
    expect(top?.[0]).toBeGreaterThan(240);
    expect(bottom?.[2]).toBeGreaterThan(240);
  });

  test.each<['jpeg' | 'png']>([['jpeg'], ['png']])(
    'what is shrunk says that its file ended early: %s',
    async (format) => {
      const whole = await plain(5000, 4000).toFormat(format).toBuffer();
      const buffer = whole.subarray(0, Math.round(0.7 * whole.length));
      const { text } = await tryFile({ name: `cut.${format}`, mimeType: `image/${format}`, buffer });
      expect(text).toMatch(/shrunk from .+ before it was sent\. Its file ends early: part of the picture is missing\./);
      const { text: said } = await tryFile({ name: `whole.${format}`, mimeType: `image/${format}`, buffer: whole });
      expect(said).toMatch(/shrunk from .+ before it was sent\.\n/);
      expect(said).not.toContain('ends early');
    },
  );

  test('what has more bytes than the service takes is shrunk until it does not', async () => {
    await using small = await startTinySystem({ env: { ASK_MAX_BODY_BYTES: '100000' } });
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const buffer = await sharp({ create: { width: 400, height: 300, channels: 3, background: RED, noise } })
      .png()
      .toBuffer();
    expect(buffer.length).toBeGreaterThan(100_000);
    const { sent, text, label } = await tryFile({ name: 'noise.png', mimeType: 'image/png', buffer }, small.url);
    expect(text).toMatch(/shrunk from 400 × 300 to (200 × 150|100 × 75) before it was sent/);
    expect([sent.length, label]).toEqual([1, expect.stringMatching(/./)]);
  });

  test('what has more pixels than the service takes is shrunk when it says so', async () => {
    await using small = await startTinySystem({ env: { ASK_MAX_PIXELS: '2000000' } });
    const buffer = await plain(2000, 1500).png().toBuffer();
    const { sent, text, label } = await tryFile({ name: 'wide.png', mimeType: 'image/png', buffer }, small.url);
    expect(text).toContain('shrunk from 2000 × 1500 to 1280 × 960 before it was sent');
    expect([sent.length, label]).toEqual([2, 'red']);
  });

  test.each<[string, string, Buffer, string]>([
    ['phone.heic', 'image/heic', heic, 'This browser cannot show this HEIC file, so it was not sent.'],
    ...(
      [
        ['HEIC', 'mif1', 'mif1', 'heic'],
        ['AVIF', 'mif1', 'avif', 'miaf'],
        ['AVIF', 'msf1', 'miaf', 'avis'],
        ['HEIF', 'mif1', 'mif1', 'miaf'],
      ] as const
    ).map(([name, ...brands]): [string, string, Buffer, string] => [
      `${brands.join(' ')}.heif`,
      'image/heif',
      ftyp(...brands),
      `This browser cannot show this ${name} file, so it was not sent.`,
    ]),
    [
      'scan.pdf',
      'application/pdf',
      Buffer.from('%PDF-1.7\n'),
      'This browser cannot show this PDF file, so it was not sent.',
    ],
    [
      'text.jpg',
      'image/jpeg',
      Buffer.from('hello'),
      'This is no picture that this browser can show, so it was not sent.',
    ],
    ['broken.gif', 'image/gif', Buffer.from('GIF89a'), 'This browser cannot show this GIF file, so it was not sent.'],
    ['empty.png', 'image/png', Buffer.alloc(0), 'This file is empty.'],
  ])('%s: what the browser cannot show is said plainly, and not sent', async (name, mimeType, buffer, words) => {
    const { sent, text, shown } = await tryFile({ name, mimeType, buffer });
    expect(text).toContain(words);
    expect([sent, shown]).toEqual([[], 0]);
  });

  test('what the service refuses is said in its own words', async () => {
    const png = await flatPng(SURE_RED);
    const buffer = Buffer.concat([png.subarray(0, 41), Buffer.alloc(60, 7)]);
    const { sent, text } = await tryFile({ name: 'corrupt.png', mimeType: 'image/png', buffer });
    expect(sent).toHaveLength(1);
    expect(text).toMatch(/The (image is damaged or cut short|data is not an image): ./);
  });
});
