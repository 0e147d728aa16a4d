import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openNatsAccess } from '../../shared/bus/nats/access.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { makeCertificate, makeFolder, makeNkey } from '../support/nats-identity.ts';

const log = createLog('silent', 'test');
const NATS_URL = 'tls://broker:4222';
let folder: Awaited<ReturnType<typeof makeFolder>>;
let path: (name: string) => string;
beforeAll(async () => {
  folder = await makeFolder();
  path = (name) => join(folder.path, name);
  await makeCertificate(folder.path, 'one');
  await makeCertificate(folder.path, 'two');
  await makeNkey(path('user.nk'));
  await writeFile(path('account.nk'), nkeys.createAccount().getSeed());
  await writeFile(path('garbage'), 'hush hush');
  await writeFile(
    path('decorated.nk'),
    `-----BEGIN USER NKEY SEED-----\n${await readFile(path('user.nk'), 'utf8')}\n------END USER NKEY SEED------\n`,
  );
});
afterAll(() => folder[Symbol.asyncDispose]());

const open = (env: Record<string, string>) => openNatsAccess(readConfig({ NATS_URL, ...env }), log);

/** The settings, with paths inside the folder of this test. */
const inFolder = (env: Record<string, string>) =>
  Object.fromEntries(Object.entries(env).map(([name, file]) => [name, path(file)]));

const messageOf = (env: Record<string, string>) => {
  try {
    open(env);
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
};

describe('NATS files: unusable ones', () => {
  test.each<[Record<string, string>, string]>([
    [{ ASK_NATS_CA: 'none' }, 'ASK_NATS_CA: the file cannot be read (ENOENT)'],
    [{ ASK_NATS_CA: '.' }, 'ASK_NATS_CA: the file cannot be read (EISDIR)'],
    [{ ASK_NATS_CA: 'garbage' }, 'ASK_NATS_CA: the file holds no PEM certificates'],
    [{ ASK_NATS_CA: 'one.key' }, 'ASK_NATS_CA: the file holds no PEM certificates'],
    [{ ASK_NATS_CERT: 'garbage', ASK_NATS_KEY: 'one.key' }, 'ASK_NATS_CERT: the file holds no PEM certificate'],
    [
      { ASK_NATS_CERT: 'one.crt', ASK_NATS_KEY: 'garbage' },
      'ASK_NATS_KEY: the file holds no PEM key without a passphrase',
    ],
    [
      { ASK_NATS_CERT: 'one.crt', ASK_NATS_KEY: 'two.key' },
      'ASK_NATS_CERT, ASK_NATS_KEY: the key is not that of the certificate',
    ],
    [{ ASK_NATS_NKEY_FILE: 'none' }, 'ASK_NATS_NKEY_FILE: the file cannot be read (ENOENT)'],
    [{ ASK_NATS_NKEY_FILE: 'garbage' }, "ASK_NATS_NKEY_FILE: the file holds no user's seed (SU...)"],
    [{ ASK_NATS_NKEY_FILE: 'account.nk' }, "ASK_NATS_NKEY_FILE: the file holds no user's seed (SU...)"],
    [{ ASK_NATS_CREDS: 'user.nk' }, 'ASK_NATS_CREDS: the file holds no NATS credentials'],
  ])('%j', (env, mistake) => {
    expect(messageOf(inFolder(env))).toBe(`access to NATS has 1 mistake(s):\n  ${mistake}`);
  });

  test('are named all at once', () => {
    const env = { ASK_NATS_CA: 'none', ASK_NATS_CERT: 'none', ASK_NATS_KEY: 'none', ASK_NATS_CREDS: 'none' };
    expect(messageOf(inFolder(env)).match(/^ {2}ASK_NATS_\w+/gm)).toEqual(Object.keys(env).map((name) => `  ${name}`));
  });

  test('a secret given in place of its file is not repeated', async () => {
    const seed = await readFile(path('user.nk'), 'utf8');
    const message = messageOf({ ASK_NATS_NKEY_FILE: seed });
    expect(message).toContain('ASK_NATS_NKEY_FILE: the file cannot be read (ENOENT)');
    expect(message).not.toContain(seed);
  });

  test('a seed with a wrong letter is noticed at once, not by the server', async () => {
    const seed = await readFile(path('user.nk'), 'utf8');
    await writeFile(
      path('typo.nk'),
      seed.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A')),
    );
    expect(messageOf(inFolder({ ASK_NATS_NKEY_FILE: 'typo.nk' }))).toContain('ASK_NATS_NKEY_FILE');
  });
});

describe('NATS files: what the client is given', () => {
  const signer = async (env: Record<string, string>) => {
    const { authenticator } = open(env);
    return () => (authenticator as (nonce: string) => { nkey: string })('challenge').nkey;
  };

  test('nothing of TLS and no identity, unless asked for', () => {
    expect(open({ NATS_URL: 'nats://broker:4222' })).toEqual({ inboxPrefix: '_INBOX_edge' });
  });

  test('tls:// alone demands TLS', () => {
    expect(open({}).tls).toEqual({ checkServerIdentity: expect.any(Function) });
  });

  test('name and password', () => {
    const { authenticator } = open({ ASK_NATS_USER: 'edge', ASK_NATS_PASSWORD: 'pass' });
    expect((authenticator as () => unknown)()).toEqual({ user: 'edge', pass: 'pass' });
  });

  test.each(['user.nk', 'decorated.nk'])('the key in %s', async (name) => {
    const seed = (await readFile(path(name), 'utf8')).match(/SU\w+/)?.[0] as string;
    expect((await signer(inFolder({ ASK_NATS_NKEY_FILE: name })))()).toBe(
      nkeys.fromSeed(Buffer.from(seed)).getPublicKey(),
    );
  });

  test('each connection takes the key that is in the file by then; one that is no key is passed over', async () => {
    const file = path('changing.nk');
    await copyFile(path('user.nk'), file);
    const sign = await signer({ ASK_NATS_NKEY_FILE: file });
    const first = sign();
    await writeFile(file, 'half a ke');
    expect(sign()).toBe(first);
    const next = nkeys.createUser();
    await writeFile(file, next.getSeed());
    expect(sign()).toBe(next.getPublicKey());
  });
});
