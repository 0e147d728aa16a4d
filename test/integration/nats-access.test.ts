import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import {
  createAccount,
  createOperator,
  createUser,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
} from '@nats-io/jwt';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { natsOptions } from '../../shared/service/run-process.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { makeCertificate, makeFolder } from '../support/nats-identity.ts';
import { startNats } from '../support/nats-server.ts';
import { waitFor } from '../support/wait.ts';

const log = createLog('silent', 'test');
const connect = (env: Record<string, string>) => connectNats(natsOptions(readConfig(env), 'test', log));

/** An operator with one account: the configuration of a broker that trusts it, and a credentials file of a user. */
async function makeOperator(folder: string, name: string) {
  const [operator, account, user] = [createOperator(), createAccount(), createUser()];
  const accountToken = await encodeAccount(
    'ask',
    account,
    { limits: { conn: -1, subs: -1, payload: -1, data: -1 } },
    { signer: operator },
  );
  const config = join(folder, `${name}.conf`);
  const creds = join(folder, `${name}.creds`);
  await writeFile(
    config,
    `operator: ${await encodeOperator(name, operator)}
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: ${accountToken} }
`,
  );
  await writeFile(creds, fmtCreds(await encodeUser('edge', user, account), user));
  return { config, creds };
}

test('NATS access: credentials of a trusted operator are admitted; others not, until they are replaced', async () => {
  await using folder = await makeFolder();
  const ours = await makeOperator(folder.path, 'ours');
  const others = await makeOperator(folder.path, 'others');
  await using broker = await startNats({ config: ours.config });
  const answerer = connect({ NATS_URL: broker.url, ASK_NATS_CREDS: ours.creds });
  answerer.subscribe('question', (message) => message.respond(message.payload, {}));
  await waitFor(() => answerer.connected, 'the connection');
  await answerer.flush();

  const asker = connect({ NATS_URL: broker.url, ASK_NATS_CREDS: others.creds });
  await expect(asker.request('question', Buffer.from('?'), { headers: {}, timeoutMs: 5000 })).rejects.toThrow(
    'disconnected',
  );
  await writeFile(others.creds, await readFile(ours.creds));
  await waitFor(() => asker.connected, 'the connection with the new file');
  const reply = await asker.request('question', Buffer.from('!'), { headers: {}, timeoutMs: 5000 });
  expect(Buffer.from(reply.payload).toString()).toBe('!');
  await Promise.all([asker.close(), answerer.close()]);
});

test('NATS access: name and password in the address are decoded from percent-encoding', async () => {
  await using folder = await makeFolder();
  const config = join(folder.path, 'users.conf');
  await writeFile(config, 'authorization { users: [{ user: "edge", password: "p@/: ss" }] }\n');
  await using broker = await startNats({ config });
  const { port } = broker;
  const bus = connect({ NATS_URL: `NATS://edge:p%40%2F%3A%20ss@127.0.0.1:${port}/, nats://127.0.0.1:${port}\r` });
  await waitFor(() => bus.connected, 'the connection');
  await bus.close();
});

test('NATS access: name and password are not sent to a server without TLS where TLS is demanded', async () => {
  let visits = 0;
  let heard = '';
  const impostor = createServer((socket) => {
    visits += 1;
    socket.on('error', () => {}).on('data', (chunk) => (heard += chunk));
    socket.write('INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576}\r\n');
  });
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  const { port } = impostor.address() as { port: number };
  const login = { ASK_NATS_USER: 'edge', ASK_NATS_PASSWORD: 'hush' };
  const secure = connect({ NATS_URL: `tls://127.0.0.1:${port}`, ...login });
  await waitFor(() => visits >= 3, 'three attempts');
  expect(heard).toBe('');
  const plain = connect({ NATS_URL: `nats://127.0.0.1:${port}`, ...login });
  await waitFor(() => heard.includes('hush'), 'a client that demands no TLS to give itself away');
  await Promise.all([secure.close(), plain.close()]);
  impostor.close();
});

describe('NATS access: a broker is checked against its certificate', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1', 'connected to NATS'],
    ['localhost', 'localhost', 'connected to NATS'],
    ['localhost', '127.0.0.1', "Hostname/IP does not match certificate's altnames"],
    ['127.0.0.1', 'localhost', "Hostname/IP does not match certificate's altnames"],
  ])('asked for as %s, with a certificate for %s: %s', async (asked, certified, outcome) => {
    await using folder = await makeFolder();
    const { ca, cert, key } = await makeCertificate(folder.path, certified);
    const config = join(folder.path, 'nats.conf');
    await writeFile(config, `tls { cert_file: "${cert}", key_file: "${key}" }`);
    await using broker = await startNats({ config });
    let lines = '';
    const spoken = pino({}, { write: (line) => (lines += line) });
    const env = { NATS_URL: `tls://[::1]:1,tls://${asked}:${broker.port}`, ASK_NATS_CA: ca };
    const bus = connectNats(natsOptions(readConfig(env), 'test', spoken));
    await waitFor(() => lines.includes(outcome), outcome);
    expect(bus.connected).toBe(outcome === 'connected to NATS');
    await bus.close();
  });
});

test('NATS access: a broker that wants client certificates admits one from its CA, and no other', async () => {
  await using folder = await makeFolder();
  const { ca, cert, key } = await makeCertificate(folder.path, '127.0.0.1');
  const client = await makeCertificate(folder.path, 'device-7');
  const stranger = await makeCertificate(join(folder.path, 'others'), 'device-7');
  const config = join(folder.path, 'nats.conf');
  await writeFile(config, `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }`);
  await using broker = await startNats({ config });
  let lines = '';
  const spoken = pino({}, { write: (line) => (lines += line) });
  const open = (own: object) => {
    const env = { NATS_URL: broker.url.replace('nats:', 'tls:'), ASK_NATS_CA: ca, ...own };
    return connectNats(natsOptions(readConfig(env), 'test', spoken));
  };
  const refused = [open({}), open({ ASK_NATS_CERT: stranger.cert, ASK_NATS_KEY: stranger.key })];
  await waitFor(() => lines.split('trying again').length > 2, 'the refusals of both');
  const admitted = open({ ASK_NATS_CERT: client.cert, ASK_NATS_KEY: client.key });
  await waitFor(() => admitted.connected, 'the connection');
  expect(refused.map((bus) => bus.connected)).toEqual([false, false]);
  await Promise.all([admitted, ...refused].map((bus) => bus.close()));
});

test('NATS access: replies come to the inbox prefix of the settings', async () => {
  await using broker = await startNats();
  const bus = connect({ NATS_URL: broker.url, ASK_NATS_INBOX: '_INBOX_edge-7' });
  const spy = connect({ NATS_URL: broker.url });
  const seen: string[] = [];
  spy.subscribe('_INBOX_edge-7.>', ({ subject }) => seen.push(subject));
  bus.subscribe('question', (message) => message.respond(message.payload, {}));
  await waitFor(() => bus.connected && spy.connected, 'both connections');
  await Promise.all([bus.flush(), spy.flush()]);
  await bus.request('question', Buffer.from('?'), { headers: {}, timeoutMs: 5000 });
  await bus.requestMany('question', 100);
  await waitFor(() => seen.length === 2, 'both replies');
  await Promise.all([bus.close(), spy.close()]);
});
