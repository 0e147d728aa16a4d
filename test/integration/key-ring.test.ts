import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { openKeys } from '../../services/edge/keys/guard.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { KEY, keyLine, makeKeyFile, SLOW_KEY } from '../support/key-file.ts';
import { waitFor } from '../support/wait.ts';

test('key ring: keys follow the links of a mounted Secret; a broken or missing file changes nothing', async () => {
  await using mount = await makeKeyFile();
  // As kubelet does it: files behind ..data, and ..data exchanged by a rename.
  const path = join(mount.folder, 'linked');
  const swap = async (version: string, text?: string) => {
    await mkdir(join(mount.folder, version));
    if (text !== undefined) await writeFile(join(mount.folder, version, 'keys'), text);
    await symlink(version, join(mount.folder, '..new'));
    await rename(join(mount.folder, '..new'), join(mount.folder, '..data'));
  };
  await swap('v1', keyLine(KEY, 'camera'));
  await symlink('..data/keys', path);
  const lines: string[] = [];
  const log = pino({ level: 'error' }, { write: (line) => lines.push(JSON.parse(line).msg) });
  const keys = await openKeys(readConfig({ ASK_API_KEYS_FILE: path }), log);
  const holder = (key: string) => keys?.find(key)?.name;
  expect([holder(KEY), holder(SLOW_KEY)]).toEqual(['camera', undefined]);

  await swap('v2', keyLine(SLOW_KEY, 'sensor'));
  await waitFor(() => holder(SLOW_KEY) === 'sensor', 'the new key');
  expect(holder(KEY)).toBeUndefined();

  await swap('v3', 'sensor nonsense\n');
  await waitFor(() => lines.length === 1, 'the error to be logged');
  await swap('v4');
  await waitFor(() => lines.length === 2, 'the loss to be logged');
  expect(holder(SLOW_KEY)).toBe('sensor');
  await swap('v5', keyLine(KEY, 'camera'));
  await waitFor(() => holder(KEY) === 'camera', 'the next key');
  expect(lines).toEqual(Array(2).fill('new API keys cannot be used, those before stay in force'));
  keys?.close();
});

describe('key ring: a start without keys', () => {
  const open = (env: Record<string, string>) => openKeys(readConfig(env), createLog('silent', 'test'));

  test.each(['127.0.0.1', '127.5.6.7', '::1', 'localhost'])(
    'needs no consent on %s, which only this machine reaches',
    async (HOST) => {
      expect(await open({ HOST })).toBeUndefined();
    },
  );

  test.each(['0.0.0.0', '::', '192.168.1.2', '::ffff:10.0.0.1', 'example.org', '128.0.0.1', '2130706433'])(
    'is refused on %s, unless told explicitly',
    async (HOST) => {
      await expect(open({ HOST })).rejects.toThrow(`HOST=${HOST} may let others in: set ASK_API_KEYS_FILE`);
      await expect(open({ HOST, ASK_ALLOW_ANONYMOUS: 'false' })).rejects.toThrow('ASK_ALLOW_ANONYMOUS=true');
      expect(await open({ HOST, ASK_ALLOW_ANONYMOUS: 'true' })).toBeUndefined();
    },
  );

  test('allowed explicitly together with keys is a contradiction', async () => {
    await using file = await makeKeyFile();
    await expect(open({ ASK_API_KEYS_FILE: file.path, ASK_ALLOW_ANONYMOUS: 'true' })).rejects.toThrow('contradicts');
  });
});
