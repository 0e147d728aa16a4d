import { randomBytes } from 'node:crypto';
import { appendFile, readFile } from 'node:fs/promises';
import { formatKey, KEY_NAME, parseKeys, parseLimit } from '../../shared/settings/key-file.ts';
import { print } from './output.ts';
import { UsageError } from './usage.ts';

export interface KeyOptions {
  limit?: string;
  to?: string;
}

/**
 * Makes a key and prints it, on standard output only. Its line for the key file is appended to `to`, or goes to
 * standard error. Throws UsageError, and ConfigError if `to` is no key file.
 */
export async function makeKey(name: string, options: KeyOptions): Promise<void> {
  if (!KEY_NAME.test(name)) throw new UsageError(`the name '${name}' must be letters, digits, dots and dashes`);
  const limit = options.limit === undefined ? undefined : parseLimit(options.limit);
  if (options.limit !== undefined && limit === undefined) {
    throw new UsageError(`--limit ${options.limit} is not a positive number of requests a second`);
  }
  const key = `ask_${randomBytes(32).toString('base64url')}`;
  const line = formatKey(key, { name, limit });
  const append = options.to === undefined ? undefined : await openKeyFile(options.to, line);
  await print(`${key}\n`); // first: a key that nobody received must not be accepted
  await append?.();
  process.stderr.write(
    options.to === undefined
      ? `the key's line for ASK_API_KEYS_FILE:\n${line}`
      : `its line was added to ${options.to}\n`,
  );
}

/** Checks that the file can take the line. The returned function adds it. */
async function openKeyFile(path: string, line: string): Promise<() => Promise<void>> {
  const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const added = before === '' || before.endsWith('\n') ? line : `\n${line}`;
  parseKeys(before + added, path);
  return () => appendFile(path, added, { mode: 0o600 });
}
