import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatKey } from '../../shared/settings/key-file.ts';

export const KEY = 'ask_first-key-of-the-test-0123456789';
export const SLOW_KEY = 'ask_second-key-of-the-test-0123456789';

export const keyLine = (key: string, name: string, limit?: number) => formatKey(key, { name, limit });

/** A file with KEY of `camera`, and SLOW_KEY of `sensor`, which may be used once in 1000 seconds; or with `text`. */
export async function makeKeyFile(text = keyLine(KEY, 'camera') + keyLine(SLOW_KEY, 'sensor', 0.001)) {
  const folder = await mkdtemp(join(tmpdir(), 'ask-keys-'));
  const path = join(folder, 'keys');
  await writeFile(path, text);
  return { folder, path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
