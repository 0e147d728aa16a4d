import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCollector } from '../support/collector.ts';
import { fuzz } from '../support/fuzz/cases.ts';
import { exchange, toRequest } from '../support/fuzz/raw-http.ts';
import { type RequestCase, requestCase, traced } from '../support/fuzz/request-cases.ts';
import { DEADLINE_MS, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

/** Addresses, parameters, methods and headers; with traces on, so that their headers are read. */
const MAX_HEAD_BYTES = 16 * 1024; // Node's limit
const picture = await flatPng(SURE_RED);

let collector: Awaited<ReturnType<typeof startCollector>>;
let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  collector = await startCollector();
  system = await startFuzzedSystem({ env: collector.env });
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});

/** A deadline of a few milliseconds is refused while the case before is still worked on: an idle edge never refuses. */
async function send(one: RequestCase) {
  let answer = await sendOnce(one);
  for (let tries = 1; answer?.status === 429 && tries < 20; tries++) {
    await sleep(200);
    answer = await sendOnce(one);
  }
  return answer;
}

async function sendOnce({ method, target, headers }: RequestCase) {
  const request = toRequest(`${method} ${target}`, [['content-type', 'image/png'], ...headers], picture);
  const { answers } = await exchange(system.url, request, DEADLINE_MS + SLACK_MS);
  // What is no request closes the connection, and the answer may be lost to a client that is still sending.
  const hopeless = request.length > MAX_HEAD_BYTES + picture.length;
  if (!answers[0] && !hopeless) throw new Error('no answer');
  return answers[0];
}

test.each([
  ['?topK=3', undefined],
  ['?__proto__=1', 'invalid-parameter'],
  ['?constructor[prototype]=1', 'invalid-parameter'],
  ['?topK[__proto__]=1', 'invalid-parameter'],
  ['?topK=1&topK=2', 'invalid-parameter'],
  [`?topK=${'9'.repeat(500)}`, 'invalid-parameter'],
])('fuzz requests: %.40s: %s', async (parameters, code) => {
  const answer = await send({ method: 'POST', target: `/classify${parameters}`, headers: [] });
  expect(answer && requireProper(answer)).toBe(code);
});

test.each(traced)('fuzz requests: an expert answers whatever the header %s says: %.40s', async (...header) => {
  const answer = await send({ method: 'POST', target: '/classify?strategy=expert', headers: [header] });
  expect(JSON.parse(answer?.text ?? '')).toMatchObject({ route: 'expert', degraded: null });
});

fuzz(
  'whatever address, parameters and headers come, the answer is one or a refusal with a code',
  'requests',
  requestCase,
  () => system.watched,
  async (one) => {
    const answer = await send(one);
    const page = answer?.status === 200 && !one.target.includes('classify');
    if (answer && !page) requireProper(answer);
  },
);
