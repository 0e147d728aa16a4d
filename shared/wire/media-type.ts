import { AppError } from '../request/errors.ts';
import type { EncodedPicture } from './picture.ts';

/** Bytes of a file's beginning that suffice for everything here; a shorter file is all of it. */
export const ENOUGH_BYTES = 1024;

/** Bytes that text does not contain. */
const CONTROLS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 127];

/** File name extensions of pictures, also of formats that are refused by name. */
export const extensions = 'jpg jpeg jpe jfif png webp heic heif avif gif bmp tif tiff jxl jp2'.split(' ');

type Test = (bytes: Uint8Array) => boolean;

const signatures: [type: EncodedPicture['type'], test: Test][] = [
  ['image/jpeg', (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff],
  ['image/png', (b) => ascii(b, 1, 4) === 'PNG' && b[0] === 0x89],
  ['image/webp', (b) => ascii(b, 0, 4) === 'RIFF' && ascii(b, 8, 12) === 'WEBP'],
];

const JPEG = 'convert it to JPEG';
const PNG = 'convert it to PNG';
const FRAME = 'send one frame of it as JPEG';
const RENDER = 'send it rendered as PNG';

/** Formats of pictures, or taken for such, that are not decoded, and what to do instead. */
const refused: [name: string, advice: string, test: Test][] = [
  ['HEIC', JPEG, (b) => isBox(b, /^(he[iv][cxms]|(mif1|msf1).*he[iv][cxms])/)],
  ['AVIF', JPEG, (b) => isBox(b, /^(av(if|is)|(mif1|msf1|miaf).*av(if|is))/)],
  ['HEIF', JPEG, (b) => isBox(b, /^(mif[12]|msf1|miaf|j2ki|jpeg|avci|vvic)/)],
  ['Canon raw (CR3)', JPEG, (b) => isBox(b, /^crx /)],
  ['JPEG XL', JPEG, (b) => starts(b, '\xff\x0a', '\0\0\0\x0cJXL ')],
  ['JPEG 2000', JPEG, (b) => starts(b, '\xff\x4f\xff\x51', '\0\0\0\x0cjP  ')],
  ['JPEG XR', JPEG, (b) => starts(b, 'II\xbc')],
  ['GIF', PNG, (b) => starts(b, 'GIF8')],
  ['BMP', PNG, isBitmap],
  ['Canon raw (CR2)', JPEG, (b) => starts(b, 'II*\0') && ascii(b, 8, 10) === 'CR'],
  ['TIFF', 'convert it (or the raw file of a camera that it is) to JPEG or PNG', isTiff],
  ['Fujifilm raw (RAF)', JPEG, (b) => starts(b, 'FUJIFILMCCD-RAW')],
  ['raw data of a camera', JPEG, (b) => starts(b, 'IIRO', 'IIRS', 'MMOR', 'IIU\0', 'FOVb', '\0MRM')],
  ['ICO', PNG, (b) => starts(b, '\0\0\x01\0', '\0\0\x02\0') && b[4] !== 0 && b[5] === 0 && b[9] === 0],
  ['ICNS', PNG, (b) => starts(b, 'icns')],
  ['Photoshop (PSD)', PNG, (b) => starts(b, '8BPS')],
  ['GIMP (XCF)', PNG, (b) => starts(b, 'gimp xcf')],
  ['QOI', PNG, (b) => starts(b, 'qoif')],
  ['FLIF', PNG, (b) => starts(b, 'FLIF')],
  ['BPG', PNG, (b) => starts(b, 'BPG\xfb')],
  ['MNG or JNG', PNG, (b) => starts(b, '\x8aMNG', '\x8bJNG')],
  ['OpenEXR', PNG, (b) => starts(b, '\x76\x2f\x31\x01')],
  ['Radiance HDR', PNG, (b) => starts(b, '#?RADIANCE', '#?RGBE')],
  ['DDS', PNG, (b) => starts(b, 'DDS ')],
  ['TGA', PNG, isTarga],
  ['PNM', PNG, (b) => /^(P[1-6]\s+[\d#]|P7\s+WIDTH|P[Ff]\s+\d)/.test(ascii(b, 0, 64))],
  ['FITS', PNG, (b) => starts(b, 'SIMPLE  =')],
  ['DICOM', PNG, (b) => b[0] === 0 && ascii(b, 128, 132) === 'DICM'],
  ['DjVu', PNG, (b) => starts(b, 'AT&TFORM')],
  ['WMF or EMF', RENDER, (b) => starts(b, '\xd7\xcd\xc6\x9a') || (b[0] === 1 && ascii(b, 40, 44) === ' EMF')],
  ['PDF', 'send its page rendered as PNG', (b) => /^\s*%PDF-/.test(ascii(b, 0, 64))],
  ['PostScript', RENDER, (b) => starts(b, '%!PS', '\xc5\xd0\xd3\xc6')],
  ['SVG', RENDER, (b) => /^(\xef\xbb\xbf)?\s*<(svg|[\s\S]*<svg)[\s>]/i.test(ascii(b, 0, ENOUGH_BYTES))],
  ['QuickTime video', FRAME, (b) => isBox(b, /^qt /) || /^(moov|mdat|wide|pnot)$/.test(ascii(b, 4, 8))],
  ['MP4 video', FRAME, (b) => isBox(b, /^/)],
  ['WebM or Matroska video', FRAME, (b) => starts(b, '\x1a\x45\xdf\xa3')],
  ['AVI video', FRAME, (b) => starts(b, 'RIFF') && ascii(b, 8, 11) === 'AVI'],
  ['MPEG video', FRAME, (b) => starts(b, '\0\0\x01\xba', '\0\0\x01\xb3', 'FLV\x01')],
];

/** Data that is no picture at all, as a sentence. The first match counts. */
const strange: [sentence: string, test: Test][] = [
  ['this is a ZIP archive: send the picture in it', (b) => starts(b, 'PK\x03\x04', 'PK\x05\x06')],
  ['this is gzip: send the picture itself, or say content-encoding: gzip', (b) => starts(b, '\x1f\x8b')],
  [
    'this is an archive: send the picture in it',
    (b) => starts(b, '7z\xbc\xaf', 'Rar!', 'BZh', '\xfd7zXZ', '\x28\xb5\x2f\xfd'),
  ],
  ['this is a program', (b) => starts(b, '\0asm', '\x7fELF', 'MZ')],
  [
    'the picture was taken for text on its way, and is spoilt: send it as binary',
    (b) => starts(b, '\xef\xbf\xbd\xef\xbf\xbd', '\xef\xbf\xbdPNG', '\xc3\xbf\xc3\x98', '\xc2\x89PNG'),
  ],
  [
    'this is a web page, perhaps one that stands for the picture: send the picture itself',
    (b) => /^(\xef\xbb\xbf)?\s*(<!--[^>]*-->\s*)?<(!doctype\s+html|html|head|body)\b/i.test(ascii(b, 0, ENOUGH_BYTES)),
  ],
  ['this is JSON: send it with content-type: application/json', (b) => /^\s*[[{]/.test(ascii(b, 0, 64)) && isText(b)],
  [
    'this is a form: send it with content-type: multipart/form-data and its boundary',
    (b) => /^(\r?\n)?--[^\n]{1,200}\ncontent-/i.test(ascii(b, 0, ENOUGH_BYTES)),
  ],
  [
    'this is a form in the encoding of addresses: send it as multipart/form-data',
    (b) => /^(image|file|topK|threshold|deadlineMs|strategy)=/.test(ascii(b, 0, 64)),
  ],
  ['this is a pointer of Git LFS: fetch the picture with git lfs pull', (b) => starts(b, 'version https://git-lfs')],
  ['this is base64 text: send the bytes that it stands for, or the JSON {"image": "<base64>"}', isBase64],
  ['this is text: send the bytes of a picture', isText],
];

/** The media type by a file's first bytes; undefined if it is not one that is decoded. */
export function mediaTypeOf(bytes: Uint8Array): EncodedPicture['type'] | undefined {
  return signatures.find(([, matches]) => matches(bytes))?.[0];
}

/** Throws AppError `unsupported-media-type` if the bytes begin as a known format that is not decoded. */
export function refuseOthers(bytes: Uint8Array): void {
  const known = refused.find(([, , matches]) => matches(bytes));
  if (known)
    throw new AppError('unsupported-media-type', `${known[0]} is not taken: ${known[1]} (JPEG, PNG and WebP are)`);
}

/** Throws AppError `empty-body`, `unsupported-media-type` or `not-an-image`, unless bytes begin as what is decoded. */
export function requirePicture(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new AppError('empty-body', 'send a JPEG, PNG or WebP image');
  if (mediaTypeOf(bytes)) return;
  refuseOthers(bytes);
  const seen = strange.find(([, matches]) => matches(bytes))?.[0];
  throw new AppError('not-an-image', `${seen ?? 'the data does not begin as a picture'}; JPEG, PNG and WebP are taken`);
}

/** Whether this is an ISO base media file (MP4 and its kin) with such a brand; the major brand comes first. */
function isBox(bytes: Uint8Array, brands: RegExp): boolean {
  if (ascii(bytes, 4, 8) !== 'ftyp') return false;
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32BE();
  return brands.test(ascii(bytes, 8, 12) + ascii(bytes, 16, Math.min(length, 256)));
}

function isBitmap(bytes: Uint8Array): boolean {
  return starts(bytes, 'BM') && bytes[15] === 0 && [12, 16, 40, 52, 56, 64, 108, 124].includes(bytes[14] ?? 0);
}

function isTiff(bytes: Uint8Array): boolean {
  return starts(bytes, 'II*\0', 'MM\0*', 'II+\0', 'MM\0+');
}

/** Targa has no signature. Accepts: no identification, no palette, a known kind and depth. */
function isTarga(bytes: Uint8Array): boolean {
  const kind = bytes[2] ?? 0;
  return (
    starts(bytes, '\0\0') &&
    [2, 3, 10, 11].includes(kind) &&
    ascii(bytes, 3, 8) === '\0\0\0\0\0' &&
    [8, 16, 24, 32].includes(bytes[16] ?? 0)
  );
}

function isBase64(bytes: Uint8Array): boolean {
  const text = ascii(bytes, 0, ENOUGH_BYTES).trimStart();
  return /^data:[^,]{0,200};base64,/i.test(text) || (text.length >= 32 && /^[\w+/-]{32,}[\w+/=\r\n-]*$/.test(text));
}

function isText(bytes: Uint8Array): boolean {
  return (
    starts(bytes, '\xff\xfe', '\xfe\xff') || bytes.subarray(0, ENOUGH_BYTES).every((byte) => !CONTROLS.includes(byte))
  );
}

function starts(bytes: Uint8Array, ...beginnings: string[]): boolean {
  return beginnings.some((beginning) => ascii(bytes, 0, beginning.length) === beginning);
}

/** One character per byte. */
function ascii(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', from, to);
}
