import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { strategyNames } from '../../services/local/api.ts';
import { createExpertMetrics } from '../../shared/observe/expert-metrics.ts';
import { errorCodes } from '../../shared/request/errors.ts';
import { KEY, makeKeyFile } from '../support/key-file.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, LABELS, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';
import { waitFor } from '../support/wait.ts';

const read = async (url: string, headers = {}) => (await fetch(`${url}/metrics`, { headers })).text();
/** Values by name and labels, without what counts time and the process. */
const values = (text: string) =>
  new Map([...text.matchAll(/^(ask_\w+(?:\{.*\})?) (\S+)$/gm)].map(([, name, value]) => [name as string, value]));

test('metrics: every series that is known beforehand is there at the start, at 0', async () => {
  await using file = await makeKeyFile();
  await using system = await startTinySystem({ env: { ASK_API_KEYS_FILE: file.path } });
  const edge = values(await read(system.url, { 'x-api-key': KEY }));
  const expert = values((await system.experts?.metrics.registry.metrics()) as string);
  const counted = [...edge, ...expert].filter(([name]) => !name.startsWith('ask_keyed_requests_total{key="camera"'));
  expect(counted.filter(([, value]) => value !== '0')).toEqual([]);
  const known = [
    ...strategyNames.map((name) => `ask_answers_total{strategy="${name}",route="edge",degraded="no-expert"}`),
    ...strategyNames.map((name) => `ask_answers_total{strategy="${name}",route="expert",degraded="no"}`),
    ...LABELS.map((label) => `ask_answers_by_label_total{label="${label}"}`),
    ...errorCodes.map((code) => `ask_errors_total{code="${code}"}`),
    'ask_keyed_requests_total{key="sensor",outcome="rate-limited"}',
    'ask_escalations_total{expert="cold",outcome="circuit-open"}',
    'ask_escalation_failures_total{reason="no-responders"}',
    ...errorCodes.map((code) => `ask_escalation_failures_total{reason="${code}"}`),
    'ask_expert_probes_total{expert="warm",outcome="timeout"}',
    'ask_expert_circuit_openings_total{expert="warm",reason="timeout"}',
    'ask_cache_lookups_total{result="hit"}',
    'ask_answer_confidence_count{route="expert"}',
    'ask_answer_duration_seconds_count{route="edge"}',
    'ask_stage_duration_seconds_count{stage="expert-round-trip"}',
    'ask_bus_bytes_sent_total',
  ];
  expect(known.filter((name) => !edge.has(name))).toEqual([]);
  for (const code of ['overloaded', 'empty-body', 'corrupt-image', 'too-slow-to-decode', 'model-failed'])
    expect(expert.has(`ask_expert_requests_total{expert="cold",outcome="${code}"}`), code).toBe(true);
  expect(expert.has('ask_expert_requests_total{expert="cold",outcome="method-not-allowed"}')).toBe(false);
  expect(expert.has('ask_expert_stage_duration_seconds_count{expert="warm",stage="compute"}')).toBe(true);
});

test('metrics: an answer is counted by its label, and its confidence by who gave it', async () => {
  await using system = await startTinySystem({ env: { ASK_CACHE_BYTES: '0' } });
  const before = values(await read(system.url));
  await postImage(system.url, await flatPng(SURE_RED));
  await postImage(system.url, await flatPng(UNSURE_WARM));
  const now = async (name: string) => values(await read(system.url)).get(name);
  await waitFor(async () => (await now('ask_answers_by_label_total{label="grey"}')) === '1', 'the second answer');
  const after = values(await read(system.url));
  const changed = [...after].filter(([name, value]) => value !== before.get(name)).map(([name]) => name);
  expect(changed.filter((name) => /_by_label|confidence_count/.test(name))).toEqual([
    'ask_answers_by_label_total{label="red"}',
    'ask_answers_by_label_total{label="grey"}',
    'ask_answer_confidence_count{route="edge"}',
    'ask_answer_confidence_count{route="expert"}',
  ]);
});

const promtool = findTool('promtool');

describe.skipIf(!promtool)('promtool', () => {
  const check = (text: string) => {
    const { status, stdout, stderr } = spawnSync(promtool as string, ['check', 'metrics'], { input: text });
    return { status, said: `${stdout}${stderr}` };
  };

  test('metrics: promtool finds nothing to say about either service, before and after an answer', async () => {
    await using system = await startTinySystem();
    const clean = { status: 0, said: '' };
    expect(check(await read(system.url))).toEqual(clean);
    await postImage(system.url, await flatPng(UNSURE_WARM));
    expect(check(await read(system.url))).toEqual(clean);
    expect(check((await system.experts?.metrics.registry.metrics()) as string)).toEqual(clean);
    expect(check(await createExpertMetrics([]).registry.metrics())).toEqual(clean);
  });
});
