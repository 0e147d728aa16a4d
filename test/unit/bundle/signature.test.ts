import { generateKeyPairSync } from 'node:crypto';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BundleError } from '../../../shared/bundle/bundle-error.ts';
import { loadBundle } from '../../../shared/bundle/load.ts';
import { ConfigError } from '../../../shared/settings/settings.ts';
import { type KeyFiles, signManifest, writeKeys } from '../../support/keys.ts';
import { makeTinyBundle, type TinyBundle } from '../../support/tiny-bundle.ts';

let bundle: TinyBundle;
let manifest: string;
let signature: string;
let ours: KeyFiles;
let others: KeyFiles;
beforeEach(async () => {
  bundle = await makeTinyBundle();
  manifest = join(bundle.directory, 'manifest.json');
  signature = `${manifest}.sig`;
  ours = await writeKeys(bundle.directory, 'ours');
  others = await writeKeys(bundle.directory, 'others');
  await signManifest(bundle.directory, ours);
});
afterEach(() => bundle.remove());

const load = (keyFile = ours.publicKey) => loadBundle(bundle.directory, keyFile);

describe('signature: a manifest is accepted', () => {
  test('with a signature by the key', async () => {
    expect((await load()).manifest.name).toBe('tiny');
  });

  test('with one by any of several keys, one after the other in the file', async () => {
    await appendFile(others.publicKey, await readFile(ours.publicKey));
    expect((await load(others.publicKey)).manifest.name).toBe('tiny');
  });

  test('with one in lines, as base64 and openssl break it', async () => {
    const text = await readFile(signature, 'utf8');
    await writeFile(signature, `${text.slice(0, 64)}\n${text.slice(64)}\n`);
    expect((await load()).manifest.name).toBe('tiny');
  });

  test('without one, or with a wrong one, where no key is set', async () => {
    await writeFile(signature, 'wrong');
    expect((await loadBundle(bundle.directory)).manifest.name).toBe('tiny');
    await rm(signature);
    expect((await loadBundle(bundle.directory)).manifest.name).toBe('tiny');
  });
});

describe('signature: a manifest is refused by the name of its signature file', () => {
  const refused = async (message: string, keyFile?: string) => {
    const error = await load(keyFile).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(BundleError);
    expect((error as Error).message).toContain(`${signature} ${message}`);
  };

  test('without a signature', async () => {
    await rm(signature);
    await refused('cannot be read: ENOENT');
  });

  test('with one by another key', async () => {
    await refused('is not a signature of', others.publicKey);
  });

  test.each([
    ['a changed value', (text: string) => text.replace('"threshold":0.9', '"threshold":0.8')],
    ['a space more', (text: string) => `${text} `],
    ['what is no JSON any more', (text: string) => text.slice(1)],
  ])('with %s', async (_, change) => {
    const text = await readFile(manifest, 'utf8');
    expect(change(text)).not.toBe(text);
    await writeFile(manifest, change(text));
    await refused('is not a signature of');
  });

  test.each<[string, (text: string) => string]>([
    ['nothing', () => ''],
    ['what is no base64', () => '*'.repeat(88)],
    ['a part', (text) => text.slice(0, 40)],
    ['one of its bits turned', (text) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)],
    ['more than a signature', (text) => text.replace('==', '') + text],
  ])('with %s for a signature', async (_, change) => {
    await writeFile(signature, change(await readFile(signature, 'utf8')));
    await refused('is not a signature of');
  });
});

describe('signature: a file without usable keys is a mistake of the configuration', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
  const garbage = '-----BEGIN PUBLIC KEY-----\naGVsbG8=\n-----END PUBLIC KEY-----\n';

  test.each<[string, (file: string) => Promise<void>, string]>([
    ['that is not there', (file) => rm(file), 'cannot be read: ENOENT'],
    ['that is empty', (file) => writeFile(file, ''), 'must hold Ed25519 public keys'],
    ['of text', (file) => writeFile(file, 'hello'), 'must hold Ed25519 public keys'],
    ['of a block that is no key', (file) => writeFile(file, garbage), 'must hold Ed25519 public keys'],
    ['with a broken key after a good one', (file) => appendFile(file, garbage), 'must hold Ed25519 public keys'],
    ['of an RSA key', (file) => writeFile(file, rsa), 'must hold Ed25519 public keys'],
    [
      'of the private key',
      async (file) => writeFile(file, await readFile(ours.privateKey)),
      'must hold Ed25519 public keys',
    ],
  ])('%s', async (_, spoil, message) => {
    await spoil(ours.publicKey);
    const error = await load().catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(`ASK_MANIFEST_KEY=${ours.publicKey} ${message}`);
  });
});
