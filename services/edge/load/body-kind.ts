import type { IncomingMessage } from 'node:http';
import { PIXELS_TYPE } from '../../../shared/wire/picture.ts';

/** What a body is by its type, as far as that counts. */
export function kindOf(type: string): 'form' | 'json' | 'pixels' | 'file' {
  const [name = ''] = type.toLowerCase().split(';', 1);
  if (/^\s*multipart\//.test(name)) return 'form';
  if (/^\s*(application|text)\/([^,]*\+)?json\s*$/.test(name)) return 'json';
  return name.trim() === PIXELS_TYPE ? 'pixels' : 'file';
}

/** What was done to a body. */
export function codingsOf({ headers }: IncomingMessage): string[] {
  const named = (headers['content-encoding'] ?? '').toLowerCase().split(',');
  return named.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity');
}

/** What is kept of base64 while it is read: bytes, text, and what it stands for. */
export const TEXT_COPIES = 3;
