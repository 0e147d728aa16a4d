import sharp from 'sharp';
import { expect, test } from 'vitest';
import { startCollector } from '../support/collector.ts';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

test('trace: an escalated request is one trace from the caller through edge, bus and expert', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  await using collector = await startCollector();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ...collector.env };
  await using expert = spawnService('expert', env);
  await waitForLog(expert, 'experts are ready');
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'connected to NATS');

  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const response = await fetch(`${edge.url}/classify`, {
    method: 'POST',
    headers: { 'content-type': 'image/png', traceparent: `00-${traceId}-b7ad6b7169203331-01` },
    body: new Uint8Array(await flatPng(UNSURE_WARM)),
  });
  const answer = (await response.json()) as { traceId: string; bytesSent: number; id: string };
  expect(answer.traceId).toBe(traceId);

  await waitFor(() => collector.spans.filter((span) => span.traceId === traceId).length >= 6, 'six spans');
  const spans = collector.spans.filter((span) => span.traceId === traceId);
  const tree = spans.map(({ name, service, parentSpanId }) => {
    const parent = spans.find((candidate) => candidate.spanId === parentSpanId)?.name ?? parentSpanId;
    return `${service}: ${parent} > ${name}`;
  });
  expect(tree.sort()).toEqual([
    'ask-edge: POST /classify > decode',
    'ask-edge: POST /classify > generalist',
    'ask-edge: POST /classify > route',
    'ask-edge: b7ad6b7169203331 > POST /classify',
    'ask-edge: route > send ask.v1.expert.{id}.classify',
    'ask-expert: send ask.v1.expert.{id}.classify > process ask.v1.expert.{id}.classify',
  ]);
  const attributes = (name: string) => spans.find((span) => span.name.startsWith(name))?.attributes;
  expect(attributes('route')).toEqual({
    'routing.strategy': 'ask',
    'routing.metric': 'max-probability',
    'routing.value': expect.any(Number),
    'routing.threshold': 0.9,
    'routing.top_k': ['red', 'grey'],
    'routing.candidates': ['warm'],
    'routing.scores': [expect.any(Number)],
    'routing.expert': 'warm',
    'routing.answered_by': 'warm',
    'routing.reason': 'low-confidence',
    'routing.policy_version': expect.stringMatching(/^[0-9a-f]{12}$/),
  });
  expect(attributes('send')?.['messaging.message.envelope.size']).toBe(answer.bytesSent);
  expect(attributes('process')?.['messaging.destination.name']).toBe('ask.v1.expert.warm.classify');

  const refused = await postImage(edge.url, Buffer.from('no picture'));
  expect(refused.status).toBe(400);
  const ofRefused = () => collector.spans.findLast(({ name }) => name === 'POST /classify');
  await waitFor(() => ofRefused()?.traceId !== traceId, 'the span of the refused request');
  expect(ofRefused()?.attributes).toEqual({
    'http.request.method': 'POST',
    'http.route': '/classify',
    'http.response.status_code': 400,
  });
  expect(ofRefused()?.status.code ?? 0).toBe(0); // the caller's mistake, not the server's
});

test('trace: a malformed traceparent is ignored, and without OTEL settings nothing is traced', async () => {
  await using bundle = await makeTinyBundle();
  await using system = await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });
  const image = new Uint8Array(await flatPng(UNSURE_WARM));
  const headers = { 'content-type': 'image/png', traceparent: 'nonsense' };
  const response = await fetch(`${system.url}/classify`, { method: 'POST', headers, body: image });
  expect(response.status).toBe(200);
  expect(((await response.json()) as { traceId: string }).traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  expect((await postImage(system.url, image)).status).toBe(200);
});

test('trace: a damaged picture is marked in the span of its request', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  await using collector = await startCollector();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ...collector.env };
  await using edge = await spawnHttp('edge', env);
  const file = await sharp(await flatPng(UNSURE_WARM))
    .resize(160, 120)
    .jpeg()
    .toBuffer();
  const { body } = await postImage(edge.url, file.subarray(0, -40), '?strategy=edge', 'image/jpeg');
  expect(body.picture).toEqual({ damaged: true, reason: 'cut-short' });
  const found = () => collector.spans.find(({ name }) => name === 'POST /classify');
  await waitFor(() => found() !== undefined, 'the span');
  expect(found()?.attributes).toMatchObject({ 'ask.picture.damaged': true, 'ask.picture.damage': 'cut-short' });
});
