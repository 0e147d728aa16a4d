import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { mediaTypeOf, requirePicture } from '../../../shared/wire/media-type.ts';
import { flatPng } from '../../support/tiny-bundle.ts';

const bytes = (text: string, length = 64) => {
  const file = Buffer.alloc(Math.max(length, text.length));
  file.write(text, 'latin1');
  return file;
};
const box = (...brands: string[]) =>
  bytes(`\0\0\0${String.fromCharCode(8 + 4 * (brands.length + 1))}ftyp${brands[0]}\0\0\0\0${brands.slice(1).join('')}`);
const at = (file: Buffer, position: number, ...values: number[]) => {
  for (const [i, value] of values.entries()) file[position + i] = value;
  return file;
};

function refusal(file: Uint8Array) {
  try {
    requirePicture(file);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error('it is taken');
}

describe('media type: the first bytes', () => {
  test.each(['jpeg', 'png', 'webp'] as const)('%s is taken', async (format) => {
    const file = await sharp(await flatPng([1, 2, 3]))
      .toFormat(format)
      .toBuffer();
    expect(mediaTypeOf(file)).toBe(`image/${format}`);
    expect(() => requirePicture(file)).not.toThrow();
  });

  test.each<[string, Buffer, string]>([
    ['HEIC', box('heic', 'mif1', 'heic'), 'JPEG'],
    ['HEIC', box('heix'), 'JPEG'],
    ['HEIC', box('mif1', 'mif1', 'heic'), 'JPEG'],
    ['HEIC', box('hevc', 'msf1'), 'JPEG'],
    ['AVIF', box('avif', 'mif1', 'miaf'), 'JPEG'],
    ['AVIF', box('avis'), 'JPEG'],
    ['AVIF', box('mif1', 'avif', 'miaf'), 'JPEG'],
    ['HEIF', box('mif1', 'mif1', 'miaf'), 'JPEG'],
    ['Canon raw (CR3)', box('crx ', 'crx ', 'isom'), 'JPEG'],
    ['JPEG XL', bytes('\xff\x0a\xfa'), 'JPEG'],
    ['JPEG XL', bytes('\0\0\0\x0cJXL \r\n\x87\n'), 'JPEG'],
    ['JPEG 2000', bytes('\xff\x4f\xff\x51'), 'JPEG'],
    ['JPEG 2000', bytes('\0\0\0\x0cjP  \r\n\x87\n'), 'JPEG'],
    ['JPEG XR', bytes('II\xbc\x01'), 'JPEG'],
    ['GIF', bytes('GIF89a'), 'PNG'],
    ['GIF', bytes('GIF87a'), 'PNG'],
    ['BMP', at(bytes('BM'), 14, 40), 'PNG'],
    ['BMP', at(bytes('BM'), 14, 124), 'PNG'],
    ['Canon raw (CR2)', bytes('II*\0\x10\0\0\0CR\x02'), 'JPEG'],
    ['TIFF', bytes('II*\0\x08'), 'PNG'],
    ['TIFF', bytes('MM\0*'), 'PNG'],
    ['TIFF', bytes('II+\0\x08'), 'PNG'],
    ['TIFF', bytes('MM\0+\0\x08'), 'PNG'],
    ['Fujifilm raw (RAF)', bytes('FUJIFILMCCD-RAW 0201'), 'JPEG'],
    ['raw data of a camera', bytes('IIRO\x08'), 'JPEG'],
    ['raw data of a camera', bytes('IIU\0\x18'), 'JPEG'],
    ['ICO', bytes('\0\0\x01\0\x01\0 \0\0\0'), 'PNG'],
    ['ICNS', bytes('icns'), 'PNG'],
    ['Photoshop (PSD)', bytes('8BPS\0\x01'), 'PNG'],
    ['GIMP (XCF)', bytes('gimp xcf file'), 'PNG'],
    ['QOI', bytes('qoif'), 'PNG'],
    ['OpenEXR', bytes('v/1\x01'), 'PNG'],
    ['Radiance HDR', bytes('#?RADIANCE\n'), 'PNG'],
    ['DDS', bytes('DDS |'), 'PNG'],
    ['TGA', at(bytes('\0\0\x02'), 12, 9, 0, 9, 0, 24), 'PNG'],
    ['PNM', bytes('P6\n9 9\n255\n'), 'PNG'],
    ['PNM', bytes('P5 # made by\n9 9'), 'PNG'],
    ['FITS', bytes('SIMPLE  =                    T'), 'PNG'],
    ['DICOM', at(bytes('', 200), 128, ...Buffer.from('DICM')), 'PNG'],
    ['DjVu', bytes('AT&TFORM'), 'PNG'],
    ['PDF', bytes('%PDF-1.7'), 'PNG'],
    ['PDF', bytes('\r\n%PDF-1.4'), 'PNG'],
    ['PostScript', bytes('%!PS-Adobe-3.0 EPSF'), 'PNG'],
    ['SVG', Buffer.from('\ufeff<?xml version="1.0"?>\n<!-- x --><svg xmlns="x"/>'), 'PNG'],
    ['QuickTime video', box('qt  '), 'JPEG'],
    ['QuickTime video', bytes('\0\0\0\x08wide\0\0\0\0mdat'), 'JPEG'],
    ['MP4 video', box('isom', 'iso2', 'avc1', 'mp41'), 'JPEG'],
    ['MP4 video', box('M4V '), 'JPEG'],
    ['MP4 video', box('3gp5'), 'JPEG'],
    ['WebM or Matroska video', bytes('\x1a\x45\xdf\xa3'), 'JPEG'],
    ['AVI video', bytes('RIFF\x10\0\0\0AVI LIST'), 'JPEG'],
    ['MPEG video', bytes('\0\0\x01\xba'), 'JPEG'],
  ])('%s is named, with what to convert it to (%#)', (name, file, instead) => {
    const { code, message } = refusal(file);
    expect(code).toBe('unsupported-media-type');
    expect(message).toMatch(new RegExp(`^${name.replaceAll(/[()]/g, '\\$&')} is not taken: .*${instead}`));
    expect(message).not.toMatch(/content-type/i);
  });

  test.each<[string, Buffer, string]>([
    ['a ZIP archive', bytes('PK\x03\x04'), 'archive'],
    ['gzip', bytes('\x1f\x8b\x08'), 'content-encoding: gzip'],
    ['a program', bytes('\0asm\x01'), 'program'],
    ['a web page', bytes('\n<!DOCTYPE html><html>'), 'web page'],
    ['a web page after a comment', bytes('<!-- x -->\n<HTML lang="en">'), 'web page'],
    ['JSON', bytes(' {"image": "AAAA"}', 0), 'application/json'],
    ['a list', bytes('[255, 216, 255]', 0), 'application/json'],
    ['a form', bytes('------x\r\nContent-Disposition: form-data; name="image"\r\n\r\n', 0), 'boundary'],
    ['a form as an address', bytes('image=%2F9j%2F4AAQ', 0), 'multipart/form-data'],
    ['base64', Buffer.from(Buffer.alloc(300, 255).toString('base64')), 'base64'],
    ['base64 in lines', Buffer.from(`${'/9j/4AAQ'.repeat(8)}\n${'/9j/4AAQ'.repeat(8)}\n`), 'base64'],
    ['a data: URL', Buffer.from('data:image/jpeg;base64,/9j/4AAQ'), 'base64'],
    ['text', Buffer.from('photo.jpg'), 'text'],
    ['text of two bytes a letter', Buffer.from('\ufeffhello', 'utf16le'), 'text'],
    ['a pointer of Git LFS', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0'), 'git lfs pull'],
    ['a JPEG read as UTF-8', Buffer.from(Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]).toString('utf8')), 'binary'],
    ['a PNG read as UTF-8', Buffer.from(Buffer.from([0x89, 0x50, 0x4e, 0x47]).toString('utf8')), 'binary'],
    ['a JPEG read as Latin-1', Buffer.from(Buffer.from([0xff, 0xd8, 0xff, 0xe0]).toString('latin1')), 'binary'],
    ['anything else', Buffer.from([1, 2, 3, 0, 0]), 'does not begin as a picture'],
    ['a sound', bytes('RIFF\x10\0\0\0WAVEfmt '), 'does not begin as a picture'],
  ])('%s is called no picture', (_, file, reason) => {
    const { code, message } = refusal(file);
    expect([code, message]).toEqual(['not-an-image', expect.stringContaining(reason)]);
  });

  test('no bytes are an empty body', () => {
    expect(refusal(Buffer.alloc(0)).code).toBe('empty-body');
  });
});
