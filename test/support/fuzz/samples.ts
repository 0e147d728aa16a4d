import { gzipSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { makePng } from './png.ts';

export interface Sample {
  bytes: Buffer;
  type: string;
}

/** Repeatable pixels that neither JPEG nor PNG packs to nothing. */
function picture(width: number, height: number, channels: 1 | 2 | 3 | 4 = 3): Sharp {
  const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => (i * i * 31 + i * 17) % 251);
  return sharp(pixels, { raw: { width, height, channels } });
}

function frames(count: number): Sharp {
  const pixels = Uint8Array.from({ length: 24 * 16 * 3 * count }, (_, i) => (i * 7 + Math.floor(i / 96) * 31) % 256);
  return sharp(pixels, { raw: { width: 24, height: 16 * count, channels: 3, pageHeight: 16 } });
}

const pictures: Record<string, () => Sharp> = {
  jpeg: () => picture(96, 64).jpeg(),
  'jpeg-444': () => picture(50, 70).jpeg({ chromaSubsampling: '4:4:4', quality: 40 }),
  'jpeg-large': () => picture(640, 480).jpeg(),
  'jpeg-one-pixel': () => picture(1, 1).jpeg(),
  'jpeg-grey': () => picture(64, 64, 1).toColourspace('b-w').jpeg(),
  'jpeg-cmyk': () => picture(64, 48).toColourspace('cmyk').jpeg(),
  'jpeg-progressive': () => picture(96, 64).jpeg({ progressive: true }),
  'jpeg-turned': () => picture(96, 64).jpeg().withMetadata({ orientation: 6 }),
  'jpeg-mirrored': () => picture(33, 65).jpeg().withMetadata({ orientation: 5 }),
  'jpeg-icc': () => picture(64, 64).jpeg().withIccProfile('p3'),
  png: () => picture(96, 64).png(),
  'png-large': () => picture(400, 300).png(),
  'png-one-pixel': () => picture(1, 1).png(),
  'png-alpha': () => picture(64, 48, 4).png(),
  'png-grey-alpha': () => picture(64, 48, 2).toColourspace('b-w').png(),
  'png-palette': () => picture(64, 48).png({ palette: true }),
  'png-two-colours': () => picture(64, 48).png({ palette: true, colours: 2 }),
  'png-16-bit': () => picture(64, 48).toColourspace('rgb16').png(),
  'png-interlaced': () => picture(97, 61).png({ progressive: true }),
  'png-icc': () => picture(64, 64).png().withIccProfile('p3'),
  'png-exif': () => picture(64, 40).png().withMetadata({ orientation: 8 }),
  webp: () => picture(96, 64).webp(),
  'webp-lossless': () => picture(64, 48).webp({ lossless: true }),
  'webp-alpha': () => picture(64, 48, 4).webp(),
  'webp-icc-exif': () => picture(64, 40).webp().withIccProfile('p3').withMetadata({ orientation: 3 }),
  'webp-animated': () => frames(4).webp({ loop: 0, delay: [10, 10, 10, 10] }),
  gif: () => picture(64, 48).gif(),
  'gif-animated': () => frames(3).gif(),
  tiff: () => picture(64, 48).tiff(),
  avif: () => picture(64, 48).avif({ effort: 0 }),
};

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>';
const ENTITIES =
  '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><svg><text>&b;</text></svg>';
const endOfZip = Buffer.concat([Buffer.from('PK\x05\x06', 'latin1'), Buffer.alloc(18)]);
const bitmap = Buffer.concat([Buffer.from('BM', 'latin1'), Buffer.alloc(52, 1), Buffer.alloc(300, 99)]);

const others: Record<string, Buffer> = {
  'png-one-bit': makePng({ width: 40, height: 30, depth: 1, colour: 0 }),
  'png-interlaced-16-bit': makePng({ width: 40, height: 30, depth: 16, colour: 6, interlaced: true }),
  svg: Buffer.from(SVG),
  'svg-entities': Buffer.from(ENTITIES),
  html: Buffer.from('<!doctype html><html><script>alert(1)</script></html>'),
  bmp: bitmap,
  pdf: Buffer.from('%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF'),
  zip: Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), Buffer.alloc(60, 7), endOfZip]),
  gzip: gzipSync(Buffer.alloc(5000)),
  jxl: Buffer.from([0xff, 0x0a, 1, 2, 3, 4, 5, 6, 7, 8]),
  heic: Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat', 'latin1'),
  base64: Buffer.from(Buffer.alloc(500, 255).toString('base64')),
  text: Buffer.from('hello'),
  nothing: Buffer.alloc(0),
};

/** Every kind of file that mutations start from, by name: real pictures of all three formats, and what is refused. */
export async function makeSamples(): Promise<Map<string, Sample>> {
  const samples = new Map<string, Sample>();
  for (const [name, make] of Object.entries(pictures)) {
    samples.set(name, { bytes: await make().toBuffer(), type: `image/${name.split('-')[0]}` });
  }
  for (const [name, bytes] of Object.entries(others)) {
    samples.set(name, { bytes, type: name.startsWith('png') ? 'image/png' : 'application/octet-stream' });
  }
  return samples;
}

/** What the service takes; the rest of `makeSamples` it must refuse. */
export function isAccepted(name: string): boolean {
  return /^(jpeg|png|webp)/.test(name);
}
