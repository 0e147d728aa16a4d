import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Identities, makeIdentities } from '../support/infra/brokers.ts';
import { answer, join } from '../support/infra/nats-member.ts';
import { inRepository, readText } from '../support/infra/repository.ts';
import { makeFolder, makeNkey } from '../support/nats-identity.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { spawnService, waitForLog } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';

/** The shipped broker with the users that the README adds: a device with its own inbox, a machine with one expert. */
const added = /```conf\n([\s\S]*?)```/.exec(readText('infra/README.md'))?.[1] as string;

let folder: Awaited<ReturnType<typeof makeFolder>>;
let keys: Identities;
let server: NatsServer;
let seeds: { device: string; expert: string };
beforeAll(async () => {
  folder = await makeFolder();
  keys = await makeIdentities(folder.path);
  seeds = { device: joinPath(folder.path, 'edge-7.nk'), expert: joinPath(folder.path, 'expert-5.nk') };
  const config = joinPath(folder.path, 'nats.conf');
  const shipped = readText('infra/nats/nats-tls.conf');
  await copyFile(inRepository('infra/nats/permissions.conf'), joinPath(folder.path, 'permissions.conf'));
  await writeFile(
    config,
    shipped.replace('users: [', () => `users: [\n${added}`),
  );
  const env = { NATS_EDGE_7_NKEY: await makeNkey(seeds.device), NATS_EXPERT_5_NKEY: await makeNkey(seeds.expert) };
  server = await startNats({ config, env: { ...keys.env, ...env } });
});
afterAll(async () => {
  await server?.stop();
  await folder[Symbol.asyncDispose]();
});

const joinAs = async (user: keyof typeof seeds, inboxPrefix = '_INBOX_edge-7') =>
  join({
    servers: server.url.replace('127.0.0.1', 'localhost'),
    tls: { caFile: keys.ca },
    authenticator: nkeyAuthenticator(await readFile(seeds[user])),
    inboxPrefix,
  });

test('narrow roles: the device asks the expert and reads the reply', async () => {
  await using edge = await joinAs('device');
  await using expert = await joinAs('expert');
  answer(expert.connection, 'ask.v1.expert.expert-5.classify', 'experts', 'fox');
  await expert.connection.flush();
  const reply = await edge.connection.request('ask.v1.expert.expert-5.classify', 'image', { timeout: 2000 });
  expect(reply.string()).toBe('fox');
  expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
});

test.each(['_INBOX_edge.>', '_INBOX_edge-8.>', '_INBOX_edge-70.>', '>'])(
  'narrow roles: the device does not read the inbox %s',
  async (subject) => {
    await using edge = await joinAs('device');
    edge.connection.subscribe(subject, { callback: () => {} });
    expect(await edge.violations()).toEqual([{ operation: 'subscription', subject }]);
  },
);

test('narrow roles: questions with the inbox of another device stay unanswered', async () => {
  await using edge = await joinAs('device', '_INBOX_edge-8');
  await expect(edge.connection.request('ask.v1.expert.expert-5.classify', 'image', { timeout: 2000 })).rejects.toThrow(
    'Permissions Violation',
  );
});

test.each(['ask.v1.expert.expert-4.classify', 'ask.v1.expert.*.classify', 'ask.v1.expert.>'])(
  'narrow roles: the expert does not answer on %s',
  async (subject) => {
    await using expert = await joinAs('expert');
    expert.connection.subscribe(subject, { queue: 'experts', callback: () => {} });
    expect(await expert.violations()).toEqual([{ operation: 'subscription', subject }]);
  },
);

test('narrow roles: an expert service of that one expert breaks no rule', async () => {
  const change = (manifest: { experts: { id: string }[]; routing: { classToExpert: string[] } }) => {
    (manifest.experts[0] as { id: string }).id = 'expert-5';
    manifest.routing.classToExpert = ['expert-5', 'cold', 'cold', 'expert-5'];
  };
  await using bundle = await makeTinyBundle({ change });
  const env = {
    ASK_MODELS_DIR: bundle.directory,
    ASK_WORKERS: '1',
    ASK_EXPERTS: 'expert-5',
    NATS_URL: server.url.replace('nats:', 'tls:'),
    ASK_NATS_CA: keys.ca,
    ASK_NATS_NKEY_FILE: seeds.expert,
  };
  await using expert = spawnService('expert', env);
  await waitForLog(expert, 'experts are ready');
  await using edge = await joinAs('device');
  const ping = await edge.connection.request('$SRV.PING.ask-expert', '', { timeout: 5000 });
  expect(ping.json()).toMatchObject({ metadata: { expert: 'expert-5' } });
  expect(expert.log()).not.toContain('refused');
});
