import type { IncomingMessage } from 'node:http';
import { PIXELS_TYPE } from '../../../shared/wire/picture.ts';

/** How a body is read, by its media type. */
export function kindOf(type: string): 'form' | 'json' | 'pixels' | 'file' {
  const [name = ''] = type.toLowerCase().split(';', 1);
  if (/^\s*multipart\//.test(name)) return 'form';
  if (/^\s*(application|text)\/([^,]*\+)?json\s*$/.test(name)) return 'json';
  return name.trim() === PIXELS_TYPE ? 'pixels' : 'file';
}

/** The content codings of a body. */
export function codingsOf({ headers }: IncomingMessage): string[] {
  const named = (headers['content-encoding'] ?? '').toLowerCase().split(',');
  return named.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity');
}

/** Copies of base64 in memory while it is read: the bytes, the text, and the decoded bytes. */
export const TEXT_COPIES = 3;
