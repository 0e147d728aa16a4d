import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Identities, makeIdentities, type Role, startSecure } from '../support/infra/brokers.ts';
import { makeCertificate, makeFolder, makeNkey } from '../support/nats-identity.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, type TinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

/** Real services at a broker from the shipped `nats-tls.conf`. */
let folder: Awaited<ReturnType<typeof makeFolder>>;
let bundle: TinyBundle;
let keys: Identities;
let others: Identities;
beforeAll(async () => {
  folder = await makeFolder();
  bundle = await makeTinyBundle();
  keys = await makeIdentities(join(folder.path, 'ours'));
  others = await makeIdentities(join(folder.path, 'others'));
});
afterAll(async () => {
  await bundle.remove();
  await folder[Symbol.asyncDispose]();
});

const settings = (role: Role, { port }: NatsServer, { ca, seeds } = keys) => ({
  ASK_MODELS_DIR: bundle.directory,
  ASK_WORKERS: '1',
  ASK_CACHE_BYTES: '0',
  LOG_LEVEL: 'trace',
  NATS_URL: `tls://127.0.0.1:${port}`,
  ASK_NATS_CA: ca,
  ASK_NATS_NKEY_FILE: seeds[role],
});

const ask = async (url: string) => {
  const { status, body } = await postImage(url, await flatPng(UNSURE_WARM));
  expect(status).toBe(200);
  return body;
};

const readyz = async (url: string) =>
  (await (await fetch(`${url}/readyz`)).json()) as {
    bus: { connected: boolean };
    experts: { warm: { instances: number } };
  };

const askUntilExpert = (url: string) =>
  waitFor(async () => (await ask(url)).route === 'expert', 'an answer of the expert');

const seedsOf = async ({ seeds }: Identities) =>
  Promise.all(Object.values(seeds).map((file) => readFile(file, 'utf8')));

test('NATS TLS: edge and expert work together, break no rule of the broker, and show no secret', async () => {
  await using broker = await startSecure(keys);
  await using expert = spawnService('expert', settings('expert', broker));
  await waitForLog(expert, 'experts are ready');
  await using edge = await spawnHttp('edge', settings('edge', broker));
  await waitFor(async () => (await readyz(edge.url)).experts.warm.instances === 1, 'the expert to be seen');
  expect(await ask(edge.url)).toMatchObject({ route: 'expert', expert: 'warm', degraded: null, label: 'grey' });
  for (const service of [edge, expert]) {
    service.kill('SIGTERM');
    expect(await service.exited).toBe(0);
    expect(service.log()).toContain('connected to NATS');
    expect(service.log()).not.toContain('refused');
    for (const seed of await seedsOf(keys)) expect(service.log()).not.toContain(seed.slice(4));
  }
});

describe('NATS TLS: a refused service says why, once, and answers alone', () => {
  type Change = (env: Record<string, string>) => Record<string, string>;
  const cases: [who: string, reason: RegExp, change: Change][] = [
    [
      'an edge that trusts another CA',
      /unable to verify the first certificate/,
      (env) => ({ ...env, ASK_NATS_CA: others.ca }),
    ],
    [
      'an edge that trusts the usual CAs',
      /unable to verify the first certificate/,
      (env) => ({ ...env, ASK_NATS_CA: '' }),
    ],
    [
      'an edge without TLS',
      /unable to verify the first certificate/,
      (env) => ({ ...env, NATS_URL: env.NATS_URL?.replace('tls:', 'nats:') as string, ASK_NATS_CA: '' }),
    ],
    [
      'an edge with an unknown key',
      /Authorization Violation/,
      (env) => ({ ...env, ASK_NATS_NKEY_FILE: others.seeds.edge }),
    ],
    ['an edge without a key', /Authorization Violation/, (env) => ({ ...env, ASK_NATS_NKEY_FILE: '' })],
    [
      'an edge with a password',
      /Authorization Violation/,
      (env) => ({ ...env, ASK_NATS_NKEY_FILE: '', ASK_NATS_USER: 'edge', ASK_NATS_PASSWORD: 'hush' }),
    ],
  ];
  test.each(cases)('%s', async (_, reason, change) => {
    await using broker = await startSecure(keys);
    await using edge = await spawnHttp('edge', change(settings('edge', broker)));
    const refusals = () => edge.log().match(/"reason":"[^"]+","msg":"no connection to NATS, trying again"/g) ?? [];
    await waitFor(() => refusals().length > 0, 'the reason');
    expect(await ask(edge.url)).toMatchObject({ route: 'edge', degraded: 'no-expert', label: 'red' });
    expect((await readyz(edge.url)).bus.connected).toBe(false);
    for (const secret of [...(await seedsOf(others)), 'hush']) expect(edge.log()).not.toContain(secret);
    edge.kill('SIGTERM');
    expect(await edge.exited).toBe(0);
    expect(refusals()).toHaveLength(1);
    expect(refusals()[0]).toMatch(reason);
  });

  test('an edge at a broker with a certificate of its CA for another host', async () => {
    const { cert, key } = await makeCertificate(join(folder.path, 'ours'), 'elsewhere', '10.0.0.1');
    const env = { ...keys.env, NATS_TLS_CERT: cert, NATS_TLS_KEY: key };
    await using broker = await startSecure({ ...keys, env });
    await using edge = await spawnHttp('edge', settings('edge', broker));
    await waitForLog(
      edge,
      "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list",
    );
  });

  test('an edge that demands TLS, at a broker without', async () => {
    await using broker = await startNats();
    await using edge = await spawnHttp('edge', settings('edge', broker));
    await waitForLog(edge, `"reason":"server does not support 'tls'","msg":"no connection to NATS, trying again"`);
  });

  test('an edge with the key of an expert joins, and may not ask', async () => {
    await using broker = await startSecure(keys);
    await using expert = spawnService('expert', settings('expert', broker));
    await waitForLog(expert, 'experts are ready');
    const env = { ...settings('edge', broker), ASK_NATS_NKEY_FILE: keys.seeds.expert };
    await using edge = await spawnHttp('edge', env);
    await waitFor(async () => (await readyz(edge.url)).bus.connected, 'the connection');
    expect(await ask(edge.url)).toMatchObject({ route: 'edge', degraded: 'no-expert' });
    await waitForLog(edge, 'Permissions Violation for Publish to \\"ask.v1.expert.warm.classify\\"');
  });
});

describe('NATS TLS: keys and certificates are replaced without a restart of the services', () => {
  test('all of them, while the broker restarts', async () => {
    const mine = {
      ca: join(folder.path, 'ca.crt'),
      seeds: { edge: join(folder.path, 'edge'), expert: join(folder.path, 'expert') },
    };
    const install = async ({ ca, seeds }: Identities) => {
      await copyFile(ca, mine.ca);
      await copyFile(seeds.edge, mine.seeds.edge);
      await copyFile(seeds.expert, mine.seeds.expert);
    };
    await install(keys);
    const first = await startSecure(keys);
    await using _expert = spawnService('expert', settings('expert', first, { ...keys, ...mine }));
    await using edge = await spawnHttp('edge', settings('edge', first, { ...keys, ...mine }));
    await askUntilExpert(edge.url);

    await first.stop();
    await waitFor(async () => !(await readyz(edge.url)).bus.connected, 'the loss to be noticed');
    await using _second = await startSecure(others, { port: first.port });
    await install(others);
    await askUntilExpert(edge.url);
    expect((await readyz(edge.url)).experts.warm.instances).toBe(1);
  });

  test('a key, while the broker refuses the old one; half a file does no harm', async () => {
    const file = join(folder.path, 'replaced.nk');
    await copyFile(keys.seeds.edge, file);
    const first = await startSecure(keys);
    await using edge = await spawnHttp('edge', { ...settings('edge', first), ASK_NATS_NKEY_FILE: file });
    await waitForLog(edge, 'connected to NATS');
    await first.stop();
    const next = join(folder.path, 'next.nk');
    const env = { ...keys.env, NATS_EDGE_NKEY: await makeNkey(next) };
    await using _second = await startSecure({ ...keys, env }, { port: first.port });
    await waitForLog(edge, 'Authorization Violation');
    await writeFile(file, (await readFile(next, 'utf8')).slice(0, 20));
    await waitForLog(edge, '"setting":"ASK_NATS_NKEY_FILE","reason":"the file holds no user\'s seed (SU...)"');
    await copyFile(next, file);
    await waitFor(async () => (await readyz(edge.url)).bus.connected, 'the connection');
    expect(edge.log()).not.toContain((await readFile(next, 'utf8')).slice(4, 20));
  });

  test('a wrong CA at the start is put right', async () => {
    const ca = join(folder.path, 'put-right.crt');
    await copyFile(others.ca, ca);
    await using broker = await startSecure(keys);
    await using edge = await spawnHttp('edge', { ...settings('edge', broker), ASK_NATS_CA: ca });
    await waitForLog(edge, 'unable to verify');
    await copyFile(keys.ca, ca);
    await waitForLog(edge, 'connected to NATS');
  });
});
