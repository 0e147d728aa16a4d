import { deflateSync } from 'node:zlib';
import { pngChunk } from './fuzz/png.ts';

const AFTER_HEADER = 33;

/** The PNG with chunks behind its header. */
export function insertChunks(png: Buffer, ...chunks: Buffer[]): Buffer {
  return Buffer.concat([png.subarray(0, AFTER_HEADER), ...chunks, png.subarray(AFTER_HEADER)]);
}

export function profilePng(png: Buffer, profile: Buffer): Buffer {
  return insertChunks(png, pngChunk('iCCP', Buffer.concat([Buffer.from('x\0\0', 'latin1'), deflateSync(profile)])));
}

export function profileJpeg(jpeg: Buffer, profile: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), profile]);
  const head = Buffer.from([0xff, 0xe2, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([jpeg.subarray(0, 2), head, body, jpeg.subarray(2)]);
}

/** The WebP (with a `VP8X` header: it has a profile already) with this one. */
export function profileWebp(webp: Buffer, profile: Buffer): Buffer {
  const at = webp.indexOf('ICCP');
  const padded = (length: number) => length + (length & 1);
  const end = at + 8 + padded(webp.readUInt32LE(at + 4));
  const head = Buffer.from('ICCP\0\0\0\0', 'latin1');
  head.writeUInt32LE(profile.length, 4);
  const made = Buffer.concat([
    webp.subarray(0, at),
    head,
    profile,
    Buffer.alloc(profile.length & 1),
    webp.subarray(end),
  ]);
  made.writeUInt32LE(made.length - 8, 4);
  return made;
}
