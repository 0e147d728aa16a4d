import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { usernamePasswordAuthenticator } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { classifySubject } from '../../shared/wire/expert-protocol.ts';
import { makeFolder } from '../support/nats-identity.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const asExpert = { ASK_WORKERS: '1', ASK_EXPERTS: 'warm' };

test.each(['edge', 'expert'] as const)('broker: a frozen one does not delay the stop of an %s', async (name) => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  const env = { ...asExpert, ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, PORT: '0', ASK_DRAIN_MS: '15000' };
  await using service = spawnService(name, env);
  await waitForLog(service, 'connected to NATS');
  await waitForLog(service, name === 'edge' ? '"msg":"ready"' : 'experts are ready');
  nats.kill('SIGSTOP');
  service.kill('SIGTERM');
  expect(await service.exited).toBe(0);
  expect(service.log()).toContain('"msg":"stopped"');
});

test('broker: an edge finds a restarted one although the wall clock was set back', async () => {
  await using bundle = await makeTinyBundle();
  const first = await startNats();
  const clock = new URL('../faults/clock-jump.ts', import.meta.url).href;
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: first.url, NODE_OPTIONS: `--import=${clock}` };
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'connected to NATS');
  edge.kill('SIGWINCH'); // an hour ahead
  await fetch(`${edge.url}/healthz`); // two signals at once may be taken for one
  edge.kill('SIGWINCH'); // two hours back
  await first.stop();
  await using second = await startNats({ port: first.port });
  expect(second.port).toBe(first.port);
  await waitForLog(edge, '"event":"reconnect"');
});

test('broker: an expert is ready only while it may listen', async () => {
  await using folder = await makeFolder();
  await using bundle = await makeTinyBundle();
  const config = join(folder.path, 'nats.conf');
  const subject = classifySubject('warm');
  const permit = (what: string) =>
    writeFile(
      config,
      `authorization { users: [
        { user: asker, password: a }
        { user: expert, password: e, permissions: { publish: ">", subscribe: { allow: [${what}] } } }
      ] }`,
    );
  const others = '"ask.v1.expert.*.cancel", "$SRV.>"';
  await permit(others);
  await using nats = await startNats({ config });
  const port = await freePort();
  await using expert = spawnService('expert', {
    ...asExpert,
    ASK_MODELS_DIR: bundle.directory,
    NATS_URL: nats.url,
    ASK_NATS_USER: 'expert',
    ASK_NATS_PASSWORD: 'e',
    ASK_HEALTH_PORT: String(port),
  });
  await waitForLog(expert, 'Permissions Violation');
  const readiness = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    return { status: response.status, ...((await response.json()) as object) };
  };
  const ready = { status: 200, loaded: true, bus: { kind: 'nats', connected: true, refused: [] } };
  const refused = { status: 503, loaded: true, bus: { kind: 'nats', connected: true, refused: [subject] } };
  await waitForLog(expert, 'experts are ready');
  expect(await readiness()).toEqual(refused);

  await permit(`${others}, "${subject} experts"`);
  nats.kill('SIGHUP');
  await waitFor(async () => (await readiness()).status === 200, 'readiness');
  expect(await readiness()).toEqual(ready);
  const access = { authenticator: usernamePasswordAuthenticator('asker', 'a') };
  const bus = connectNats({ servers: [nats.url], name: 'asker', log: createLog('silent', 'test'), access });
  await waitFor(() => bus.connected, 'the connection');
  const reply = await bus.request(subject, new Uint8Array(), { headers: {}, timeoutMs: 5000 });
  expect(reply.headers['Nats-Service-Error']).toBe('invalid-parameter'); // it says no deadline

  await permit(others);
  nats.kill('SIGHUP');
  await waitFor(async () => (await readiness()).status === 503, 'the loss to show');
  expect(await readiness()).toEqual(refused);
  await bus.close();
});
