import { readFile } from 'node:fs/promises';
import type { Log } from '../../../shared/observe/log.ts';
import { digestOf, type KeyHolder, parseKeys } from '../../../shared/settings/key-file.ts';
import { ConfigError } from '../../../shared/settings/settings.ts';

/** The keys in force. */
export interface KeyRing {
  find(key: string): KeyHolder | undefined;
  /** Names of the holders. */
  names(): string[];
  close(): void;
}

const POLL_MS = 1000;

/**
 * Reads the key file and polls it, so that keys change without a restart. Polling the content notices every kind of
 * change, also the swapped links of a mounted Secret. An unusable file is logged once, and the previous keys stay in
 * force. Throws ConfigError if there are no previous keys.
 */
export async function openKeyRing(path: string, log: Log): Promise<KeyRing> {
  const setting = `ASK_API_KEYS_FILE=${path}`;
  const read = () =>
    readFile(path, 'utf8').catch((error: Error) => new ConfigError(`${setting} cannot be read: ${error.message}`));
  let seen = await read();
  if (seen instanceof Error) throw seen;
  let keys = parseKeys(seen, setting);
  log.info({ path, keys: keys.size }, 'API keys are asked for');

  const look = async () => {
    const now = await read();
    if (String(now) === String(seen)) return;
    seen = now;
    try {
      if (now instanceof Error) throw now;
      keys = parseKeys(now, setting);
      log.info({ path, keys: keys.size }, 'API keys were read again');
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'new API keys cannot be used, those before stay in force');
    }
  };
  const timer = setInterval(look, POLL_MS).unref();
  return {
    find: (key) => keys.get(digestOf(key)),
    names: () => [...keys.values()].map(({ name }) => name),
    close: () => clearInterval(timer),
  };
}
