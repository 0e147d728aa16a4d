import { access, constants, glob, open, readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { extensions, mediaTypeOf } from '../../shared/wire/media-type.ts';
import { InputError } from './usage.ts';

/** The name of standard input. */
export const STDIN = '-';

const SIGNATURE_BYTES = 16;

/**
 * The named files, the pictures in named folders, those that patterns match, and `-`; each once. Throws InputError
 * listing all that are missing, unreadable or without a picture.
 */
export async function findPictures(names: string[]): Promise<string[]> {
  const found = new Set<string>();
  const mistakes: string[] = [];
  for (const name of names) {
    try {
      for (const path of name === STDIN ? [name] : await expand(name)) found.add(path);
    } catch (error) {
      mistakes.push(explain(name, error as Error));
    }
  }
  if (mistakes.length > 0) throw new InputError(mistakes.join('\n     '));
  return [...found];
}

/**
 * The pictures in a folder and below, sorted. Hidden files are left out; a folder reached again by a link is not read
 * twice.
 */
export async function* walkPictures(folder: string, seen = new Set<string>()): AsyncGenerator<string> {
  const real = await realpath(folder);
  if (seen.has(real)) return;
  seen.add(real);
  for (const name of (await readdir(folder)).sort()) {
    if (name.startsWith('.')) continue;
    const path = join(folder, name);
    const kind = await stat(path).catch(() => undefined);
    if (kind?.isDirectory()) yield* walkPictures(path, seen);
    else if (kind?.isFile() && (await isPicture(path))) yield path;
  }
}

/** The name of an existing file is not a pattern, whatever characters it has. */
async function expand(name: string): Promise<string[]> {
  const kind = await stat(name).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && /[*?[{]/.test(name)) return undefined;
    throw error;
  });
  if (kind && !kind.isDirectory()) {
    await access(name, constants.R_OK);
    return [name];
  }
  const pictures = await Array.fromAsync(kind ? walkPictures(name) : matchPictures(name));
  if (pictures.length === 0) throw new Error(kind ? 'holds no picture' : 'matches no picture');
  return pictures;
}

async function* matchPictures(pattern: string): AsyncGenerator<string> {
  for (const path of (await Array.fromAsync(glob(pattern))).sort()) {
    const kind = await stat(path).catch(() => undefined);
    if (kind?.isDirectory()) yield* walkPictures(path);
    else if (kind?.isFile() && (await isPicture(path))) yield path;
  }
}

async function isPicture(path: string): Promise<boolean> {
  if (extensions.includes(extname(path).slice(1).toLowerCase())) return true;
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNATURE_BYTES), 0, SIGNATURE_BYTES, 0);
  return mediaTypeOf(buffer.subarray(0, bytesRead)) !== undefined;
}

function explain(name: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') return `${name}: there is no such file`;
  if (code === 'EACCES') return `${name}: may not be read`;
  return `${name}: ${message}`;
}
