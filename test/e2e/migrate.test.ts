import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { signManifest, writeKeys } from '../support/keys.ts';
import { spawnService } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';

async function migrate(...args: string[]) {
  await using command = spawnService('cli', {}, ['migrate', ...args]);
  return { status: await command.exited, output: command.output(), errors: command.log() };
}

test('migrate: a manifest of version 1 becomes one of version 2 that says the same', async () => {
  await using bundle = await makeTinyBundle();
  const path = join(bundle.directory, 'manifest.json');
  const before = await loadBundle(bundle.directory);
  const { status, errors } = await migrate('--models', bundle.directory);
  expect([status, errors]).toEqual([0, `written: ${path}, in schemaVersion 2 (it had 1)\n`]);
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ schemaVersion: 2, strategies: { ask: {} } });
  expect(await loadBundle(bundle.directory)).toEqual(before);

  const written = await readFile(path, 'utf8');
  const again = await migrate('--models', bundle.directory);
  expect([again.status, again.errors]).toEqual([0, `${path} has schemaVersion 2 already\n`]);
  expect(await readFile(path, 'utf8')).toBe(written);
});

test('migrate: a signature is removed, and that is said', async () => {
  await using bundle = await makeTinyBundle();
  const path = join(bundle.directory, 'manifest.json');
  await signManifest(bundle.directory, await writeKeys(bundle.directory, 'ours'));
  const { status, errors } = await migrate('--models', bundle.directory);
  expect([status, errors]).toMatchObject([
    0,
    expect.stringContaining(`removed: ${path}.sig, which was of the manifest`),
  ]);
  await expect(readFile(`${path}.sig`)).rejects.toThrow('ENOENT');
});

test.each([
  ['that is no JSON', '{', 'manifest.json cannot be read: '],
  ['of a newer version', '{ "schemaVersion": 3 }', 'has schemaVersion 3, this program reads up to 2: use a newer one'],
  ['that no service takes', '{ "schemaVersion": 1 }', 'is not a usable manifest:\n  name: '],
])('migrate: a manifest %s stays as it is', async (_, text, message) => {
  await using bundle = await makeTinyBundle();
  const path = join(bundle.directory, 'manifest.json');
  await writeFile(path, text);
  const { status, errors } = await migrate('--models', bundle.directory);
  expect([status, errors]).toEqual([1, expect.stringContaining(message)]);
  expect(await readFile(path, 'utf8')).toBe(text);
});
