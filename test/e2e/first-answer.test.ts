import { expect, test } from 'vitest';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

/** Takes its time to start, for its golden inputs. */
const slow = { rows: [0, 1, 2, 3].map((i): [number, number, number, number] => [0, 0, 0, i === 3 ? 9 : 0]), work: 500 };

const readiness = async (url: string) => {
  const response = await fetch(`${url}/readyz`);
  const { missing } = (await response.json()) as { missing: string[] };
  return { status: response.status, missing };
};

const metricsOf = async (url: string) => (await fetch(`${url}/metrics`)).text();

test('start: the whole system is ready when its experts are; earlier questions wait for them', async () => {
  await using bundle = await makeTinyBundle({ models: { warm: slow } });
  await using system = await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });
  const answered = postImage(system.url, await flatPng(UNSURE_WARM), '?deadlineMs=60000');
  expect(system.log()).toContain('"awaited":["warm","cold"]');
  const early = await readiness(system.url);
  expect(early).toEqual({ status: 200, missing: ['warm', 'cold'] });
  expect(system.output()).toBe('');
  expect(await metricsOf(system.url)).toContain('ask_expert_requests_total{expert="warm",outcome="answered"} 0');
  expect((await answered).body).toMatchObject({ label: 'grey', route: 'expert', expert: 'warm', degraded: null });
  await waitForLog(system, 'experts are ready');
  await waitForLog({ log: system.output }, 'Ask the Expert is ready');
  expect(await readiness(system.url)).toEqual({ status: 200, missing: [] });
  const metrics = await metricsOf(system.url);
  expect(metrics).toContain('ask_escalations_total{expert="warm",outcome="answered"} 1');
  expect(metrics).toContain('ask_escalations_total{expert="warm",outcome="no-expert"} 0');
  expect(system.log()).not.toContain('an expert is not asked');
});

test('start: an expert that this process does not host is not waited for', async () => {
  await using bundle = await makeTinyBundle({ models: { cold: slow } });
  const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', ASK_EXPERTS: 'cold', ASK_SECOND_CHOICE: 'false' };
  await using system = await spawnHttp('local', env);
  const { body } = await postImage(system.url, await flatPng(UNSURE_WARM), '?deadlineMs=600000');
  expect(body).toMatchObject({ route: 'edge', degraded: 'no-expert' });
});

test('start: an edge that starts before its experts waits for them within the deadline of each question', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ASK_CACHE_BYTES: '0' };
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'connected to NATS');
  const image = await flatPng(UNSURE_WARM);
  const hurried = (await postImage(edge.url, image, '?deadlineMs=300')).body;
  expect(hurried).toMatchObject({ route: 'edge', degraded: 'no-expert', bytesSent: 0 });
  const patient = postImage(edge.url, image, '?deadlineMs=60000');
  await using expert = spawnService('expert', env);
  await waitForLog(expert, 'experts are ready');
  expect((await patient).body).toMatchObject({ label: 'grey', route: 'expert', degraded: null });
});

test('start: a stopping edge answers questions that wait for experts by itself', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ASK_DRAIN_MS: '5000' };
  await using edge = await spawnHttp('edge', env);
  const sent = postImage(edge.url, await flatPng(UNSURE_WARM), '?deadlineMs=60000');
  const taken = async () => (await metricsOf(edge.url)).includes('{result="miss"} 1');
  await waitFor(taken, 'the question');
  await readiness(edge.url); // by then it waits
  edge.kill('SIGTERM');
  const { status, body } = await sent;
  expect({ status, ...body }).toMatchObject({ status: 200, route: 'edge', degraded: 'no-expert' });
  expect(await edge.exited).toBe(0);
});

test('start: an expert of another bundle ends no wait', async () => {
  await using bundle = await makeTinyBundle();
  await using other = await makeTinyBundle({ models: { warm: slow, cold: slow } });
  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ASK_SECOND_CHOICE: 'false' };
  await using stranger = spawnService('expert', { ...env, ASK_MODELS_DIR: other.directory });
  await waitForLog(stranger, 'experts are ready');
  await waitForLog(stranger, 'connected to NATS');
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'connected to NATS');
  const patient = postImage(edge.url, await flatPng(UNSURE_WARM), '?deadlineMs=60000');
  await waitForLog(stranger, 'other-model');
  await using expert = spawnService('expert', env);
  await waitForLog(expert, 'experts are ready');
  expect((await patient).body).toMatchObject({ label: 'grey', route: 'expert', degraded: null });
});

test('start: where no expert comes, questions wait for none after ten seconds, and the log says so', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ASK_CACHE_BYTES: '0' };
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'experts are missing');
  const { body } = await postImage(edge.url, await flatPng(UNSURE_WARM), '?deadlineMs=600000');
  expect(body).toMatchObject({ route: 'edge', degraded: 'no-expert' });
});
