import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startCollector } from '../support/collector.ts';
import { KEY, keyLine, makeKeyFile, SLOW_KEY } from '../support/key-file.ts';
import { startNats } from '../support/nats-server.ts';
import { spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const PASSWORD = 'nats-password-of-the-test-0123456789';
const GUESS = 'ask_guess-of-the-test-0123456789';
const MISPLACED = 'ask_key-in-the-wrong-place-0123456789';

test('secrets: no key or password gets into logs, answers, pages, metrics or traces, whatever goes wrong', async () => {
  await using bundle = await makeTinyBundle();
  await using file = await makeKeyFile();
  await using collector = await startCollector();
  const wrong = await startNats({ user: 'edge', password: 'another' });
  const env = {
    ASK_MODELS_DIR: bundle.directory,
    ASK_WORKERS: '1',
    ASK_CACHE_BYTES: '0',
    NATS_URL: wrong.url,
    ASK_NATS_USER: 'edge',
    ASK_NATS_PASSWORD: PASSWORD,
    LOG_LEVEL: 'trace',
    ...collector.env,
  };
  await using edge = await spawnHttp('edge', { ...env, HOST: '0.0.0.0', ASK_API_KEYS_FILE: file.path });
  await using expert = spawnService('expert', env);
  for (const service of [edge, expert]) await waitForLog(service, 'Authorization Violation');
  await wrong.stop();
  await using _ = await startNats({ port: wrong.port, user: 'edge', password: PASSWORD });
  for (const service of [edge, expert]) await waitForLog(service, 'connected to NATS');
  await waitForLog(expert, 'experts are ready');

  const shown: string[] = [];
  const statuses = new Set<number>();
  const ask = async (path: string, init: RequestInit) => {
    const response = await fetch(`${edge.url}${path}`, init);
    const body = await response.text();
    shown.push(JSON.stringify([...response.headers]), body);
    statuses.add(response.status);
    return { status: response.status, body };
  };
  const logins = [KEY, SLOW_KEY, GUESS].flatMap((key) => [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }]);
  const image = new Uint8Array(await flatPng(UNSURE_WARM));
  for (const login of [{}, { authorization: `Basic ${GUESS}` }, ...logins]) {
    for (const path of ['/', '/healthz', '/readyz', '/experts', '/metrics', '/openapi.json', '/nothing', '/%ZZ']) {
      await ask(path, { headers: login });
    }
    for (const [type, body] of [
      ['image/png', image],
      ['image/png', image.slice(0, 60)],
      ['image/png', ''],
      ['text/plain', 'hello'],
      ['image/gif', 'GIF89a'],
      ['application/json', '{"image": 1'],
    ] as const) {
      await ask('/classify', { method: 'POST', headers: { 'content-type': type, ...login }, body });
    }
    await ask('/classify?topK=0', { method: 'POST', headers: { 'content-type': 'image/png', ...login }, body: image });
  }
  expect(statuses).toEqual(new Set([200, 400, 401, 403, 404, 415, 422, 429]));
  const answer = await ask('/classify', {
    method: 'POST',
    headers: { 'content-type': 'image/png', 'x-api-key': KEY },
    body: image,
  });
  expect(JSON.parse(answer.body).route).toBe('expert');

  await writeFile(file.path, `camera ${MISPLACED}\n`);
  await waitForLog(edge, 'new API keys cannot be used');
  await writeFile(file.path, keyLine(KEY, 'camera'));
  await waitForLog(edge, 'API keys were read again');
  const { body: metrics } = await ask('/metrics', { headers: { 'x-api-key': KEY } });
  expect(metrics).toContain('ask_keyed_requests_total{key="sensor",outcome="rate-limited"}');
  await waitFor(() => collector.spans.some(({ service }) => service === 'ask-expert'), 'spans of both services');
  for (const service of [edge, expert]) {
    service.kill('SIGTERM');
    expect(await service.exited).toBe(0);
  }

  const everything = [...shown, edge.log(), edge.output(), expert.log(), JSON.stringify(collector.spans)].join('\n');
  expect(everything).toContain('"level":50');
  for (const secret of [KEY, SLOW_KEY, GUESS, MISPLACED, PASSWORD]) {
    for (const form of [secret, createHash('sha256').update(secret).digest('hex'), btoa(secret).replace(/=+$/, '')]) {
      expect(everything.includes(form), form).toBe(false);
    }
  }
}, 120_000);
