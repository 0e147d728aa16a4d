import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bundle, loadBundle } from '../../../../shared/bundle/load.ts';
import { AppError, type ErrorCode } from '../../../../shared/request/errors.ts';
import type { Tensors } from '../../../../shared/wire/tensor.ts';
import {
  type Asking,
  attention,
  logits,
  makeAskedBundle,
  openAsking,
  openRequest,
  pixels,
  replyOf,
  serve,
  serveExpert,
  silent,
} from '../../../support/experts.ts';
import type { TinyBundle } from '../../../support/tiny-bundle.ts';
import { waitFor } from '../../../support/wait.ts';

let tiny: TinyBundle;
let bundle: Bundle;
beforeAll(async () => {
  tiny = await makeAskedBundle();
  bundle = await loadBundle(tiny.directory);
});
afterAll(() => tiny.remove());

const fail = (code: ErrorCode) => () => Promise.reject(new AppError(code, 'as the test wants'));

/** Asks about a picture, within `milliseconds`. */
async function ask({ experts }: Asking, models: [string, string?], milliseconds?: number) {
  using asked = openRequest(milliseconds);
  return await experts.ask(models, experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request), asked.request);
}

async function counted({ context: { metrics } }: Asking, expert: string) {
  const { values } = await metrics.escalations.get();
  const found = values.filter(({ labels, value }) => labels.expert === expert && value > 0);
  return Object.fromEntries(found.map(({ labels, value }) => [labels.outcome, value]));
}

test('escalation: the expert gets the picture, its outputs come back with what they cost', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm');
  expect(asking.experts.reachable).toBe(true);
  const { outputs, hops, ...asked } = await ask(asking, ['warm']);
  expect(asked).toEqual({ answeredBy: 'warm', degraded: null, reason: null });
  expect(outputs).toEqual(logits);
  expect(hops).toMatchObject([{ to: 'warm', encoding: 'rgb8', computeMs: 1.5 }]);
  expect(hops[0]?.bytes).toBeGreaterThan(pixels.pixels.length);
  const digest = asking.digestOf('warm').slice(0, 16);
  expect(questions).toMatchObject([
    { requestId: expect.stringMatching(/^request-1-\d+$/), modelDigest: digest, body: pixels },
  ]);
  expect(questions[0]?.deadlineMs).toBeLessThanOrEqual(600_000 - 5);
  expect(await counted(asking, 'warm')).toEqual({ answered: 1 });
});

test('escalation: tensors go out and all outputs of the model come in', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm', { ...logits, ...attention });
  using asked = openRequest();
  const tensors: Tensors = {
    tokens: { type: 'float16', shape: [1, 2], data: Float16Array.of(0.5, -2) },
    places: { type: 'uint8', shape: [1, 2], data: Uint8Array.of(3, 4) },
  };
  const parcel = asking.experts.packTensors(tensors, asked.request);
  const { outputs, hops } = await asking.experts.ask(['warm'], parcel, asked.request);
  expect(questions.map(({ body }) => body)).toEqual([{ tensors }]);
  expect(outputs).toEqual({ ...logits, ...attention });
  expect(hops).toMatchObject([{ to: 'warm', encoding: 'tensors' }]);
});

test('escalation: a reply to tensors that lacks an output is an error of the expert', async () => {
  const asking = openAsking(bundle);
  serve(asking, 'warm', attention);
  using asked = openRequest();
  const tensors: Tensors = { x: { type: 'uint8', shape: [1], data: Uint8Array.of(1) } };
  const parcel = asking.experts.packTensors(tensors, asked.request);
  const answer = await asking.experts.ask(['warm'], parcel, asked.request);
  expect(answer).toMatchObject({ outputs: null, degraded: 'expert-error', reason: 'model-failed' });
});

test('escalation: within a process pixels stay pixels, over a network they are encoded', async () => {
  for (const [near, encoding] of [
    [true, 'rgb8'],
    [false, 'png'],
  ] as const) {
    const asking = openAsking(bundle, { near });
    serve(asking, 'warm');
    using asked = openRequest();
    const parcel = asking.experts.pack(pixels, undefined, { format: 'png' }, asked.request);
    const { hops } = await asking.experts.ask(['warm'], parcel, asked.request);
    expect(hops.map((hop) => hop.encoding)).toEqual([encoding]);
  }
});

test('escalation: where nobody responds it is without an expert, and is not asked again at once', async () => {
  const asking = openAsking(bundle);
  const nothing = { outputs: null, answeredBy: null, degraded: 'no-expert' };
  const hops = [{ to: 'warm', bytes: 0, encoding: null, computeMs: 0 }];
  expect(await ask(asking, ['warm'])).toMatchObject({ ...nothing, reason: 'no-responders', hops });
  expect(await ask(asking, ['warm'])).toMatchObject({ ...nothing, reason: 'absent', hops });
  expect(asking.of('an expert did not answer')).toHaveLength(1);
});

test('escalation: a bus that is away is told apart from an expert that is', async () => {
  const asking = openAsking(bundle);
  serve(asking, 'warm');
  await asking.bus.close();
  expect(asking.experts.reachable).toBe(false);
  expect(await ask(asking, ['warm'])).toMatchObject({ degraded: 'no-expert', reason: 'disconnected' });
  expect(asking.of('an expert did not answer')).toEqual([]);
  expect(asking.context.health('warm').state).toBe('closed');
});

test("escalation: another model's reply counts for nothing", async () => {
  const asking = openAsking(bundle);
  const { questions } = serveExpert(asking, 'warm', replyOf(logits, asking.digestOf('cold')));
  const asked = await ask(asking, ['warm']);
  expect(asked).toMatchObject({ outputs: null, degraded: 'expert-error', reason: 'other-model' });
  expect(questions).toHaveLength(10);
});

test('escalation: in a roll-out the question goes on until it meets the model that is meant', async () => {
  const asking = openAsking(bundle);
  const old = serveExpert(asking, 'warm', fail('other-model'));
  const own = serve(asking, 'warm');
  for (let i = 0; i < 4; i++) expect((await ask(asking, ['warm'])).answeredBy).toBe('warm');
  expect(own.questions).toHaveLength(4);
  expect(old.questions.length).toBeGreaterThan(0);
  expect(await counted(asking, 'warm')).toEqual({ answered: 4 });
});

test.each<[ErrorCode, string]>([
  ['overloaded', 'overloaded'],
  ['deadline-exceeded', 'timeout'],
  ['stopping', 'no-expert'],
  ['model-failed', 'expert-error'],
  ['internal', 'expert-error'],
  ['corrupt-image', 'expert-error'],
])('escalation: an expert that says %s degrades as %s, for that reason', async (code, degraded) => {
  const asking = openAsking(bundle);
  serveExpert(asking, 'warm', fail(code));
  const asked = await ask(asking, ['warm']);
  expect(asked).toMatchObject({ outputs: null, answeredBy: null, degraded, reason: code });
  expect(asked.hops).toMatchObject([{ to: 'warm', encoding: 'rgb8' }]);
  expect(await counted(asking, 'warm')).toEqual({ [degraded]: 1 });
  expect(asking.of('an expert did not answer')).toMatchObject([{ expert: 'warm', reason: code }]);
});

test('escalation: three errors in a row, and the expert is not waited for any more', async () => {
  const asking = openAsking(bundle);
  serveExpert(asking, 'warm', fail('model-failed'));
  for (let i = 0; i < 3; i++) expect((await ask(asking, ['warm'])).reason).toBe('model-failed');
  const asked = await ask(asking, ['warm']);
  expect(asked).toMatchObject({ degraded: 'circuit-open', reason: 'circuit-open', hops: [{ bytes: 0 }] });
});

test('escalation: an expert that is silent is given up before the deadline passes', async () => {
  const asking = openAsking(bundle);
  const { questions } = serveExpert(asking, 'warm', silent);
  using asked = openRequest(400);
  const parcel = asking.experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request);
  const answer = await asking.experts.ask(['warm'], parcel, asked.request);
  expect(answer).toMatchObject({ outputs: null, degraded: 'timeout', reason: 'timeout', hops: [{ encoding: 'rgb8' }] });
  expect(questions).toHaveLength(1);
  expect(questions[0]?.deadlineMs).toBeLessThan(400);
});

test('escalation: nobody is asked when there is no time for an answer', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm');
  expect(await ask(asking, ['warm'], 5)).toMatchObject({ degraded: 'timeout', reason: 'no-time' });
  expect(questions).toEqual([]);
});

test('escalation: a picture that cannot be packed is not held against the expert', async () => {
  const asking = openAsking(bundle, { near: false });
  const { questions } = serve(asking, 'warm');
  using asked = openRequest();
  const parcel = asking.experts.pack({ ...pixels, width: 99 }, undefined, { format: 'png' }, asked.request);
  const answer = await asking.experts.ask(['warm'], parcel, asked.request);
  expect(answer).toMatchObject({ degraded: 'expert-error', reason: 'not-packed' });
  expect([questions, asking.context.health('warm').state]).toEqual([[], 'closed']);
});

test('escalation: a caller who hangs up ends it with his reason, and the expert is told', async () => {
  const asking = openAsking(bundle);
  using asked = openRequest();
  const gone = new AppError('client-closed', 'gone');
  const { cancelled, questions } = serveExpert(asking, 'warm', () => {
    asked.caller.abort(gone);
    return silent();
  });
  const parcel = asking.experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request);
  await expect(asking.experts.ask(['warm'], parcel, asked.request)).rejects.toBe(gone);
  await waitFor(() => cancelled.length > 0, 'the cancellation');
  expect(cancelled).toEqual([questions[0]?.requestId]);
  expect(await counted(asking, 'warm')).toEqual({ cancelled: 1 });
});

test('escalation: a device that sheds asks nobody', async () => {
  const asking = openAsking(bundle, { sheds: () => true });
  const { questions } = serve(asking, 'warm');
  expect(await ask(asking, ['warm'])).toMatchObject({ degraded: 'overloaded', reason: 'shed', hops: [] });
  expect(questions).toEqual([]);
});

test('escalation: an expert that is still starting is waited for', async () => {
  const asking = openAsking(bundle, { expected: ['warm'] });
  const asked = ask(asking, ['warm']);
  await new Promise(setImmediate); // long enough for the bus to say that nobody is there
  serve(asking, 'warm');
  const metadata = { expert: 'warm', digest: asking.digestOf('warm') };
  const pong = Buffer.from(JSON.stringify({ id: '1', metadata }));
  asking.bus.subscribe('$SRV.PING.ask-expert', (message) => message.respond(pong, {}));
  expect(await asked).toMatchObject({ answeredBy: 'warm', degraded: null });
  expect(await counted(asking, 'warm')).toEqual({ answered: 1 });
});

test('runner-up: left alone while the first choice answers', async () => {
  const asking = openAsking(bundle);
  serve(asking, 'warm');
  const { questions } = serve(asking, 'cold');
  expect((await ask(asking, ['warm', 'cold'])).answeredBy).toBe('warm');
  expect(questions).toEqual([]);
});

test('runner-up: answers for a first choice that is not there, whose hop cost nothing and is not told', async () => {
  const asking = openAsking(bundle);
  serve(asking, 'cold');
  const asked = await ask(asking, ['warm', 'cold']);
  expect(asked).toMatchObject({ outputs: logits, answeredBy: 'cold', degraded: null, reason: null });
  expect(asked.hops.map(({ to }) => to)).toEqual(['cold']);
});

test('runner-up: answers for a first choice that fails, and both hops are told, the decisive one first', async () => {
  const asking = openAsking(bundle);
  serveExpert(asking, 'warm', fail('model-failed'));
  serve(asking, 'cold');
  const asked = await ask(asking, ['warm', 'cold']);
  expect(asked).toMatchObject({ answeredBy: 'cold', degraded: null, reason: null });
  expect(asked.hops.map(({ to, computeMs }) => [to, computeMs])).toEqual([
    ['cold', 1.5],
    ['warm', 0],
  ]);
});

test('runner-up: asked when the first choice is slow, whose question is then cancelled', async () => {
  const asking = openAsking(bundle);
  const slow = serveExpert(asking, 'warm', silent);
  serve(asking, 'cold');
  const usual = { reply: { outputs: {}, expertMs: 1, modelDigest: '' }, degraded: null, bytesSent: 1, roundTripMs: 1 };
  for (let i = 0; i < 20; i++) asking.context.health('warm').record(usual, 1000);
  const asked = await ask(asking, ['warm', 'cold']);
  expect(asked).toMatchObject({ answeredBy: 'cold', hops: [{ to: 'cold' }, { to: 'warm' }] });
  await waitFor(() => slow.cancelled.length > 0, 'the cancellation');
  expect(await counted(asking, 'warm')).toEqual({ cancelled: 1 });
  expect(asking.context.health('warm').state).toBe('closed');
});

test('runner-up: if it fails too, the reason is that of the first choice', async () => {
  const asking = openAsking(bundle);
  serveExpert(asking, 'warm', fail('model-failed'));
  const asked = await ask(asking, ['warm', 'cold']);
  expect(asked).toMatchObject({ answeredBy: null, degraded: 'expert-error', reason: 'model-failed' });
});

test('runner-up: not asked where the first is overloaded, nor where the settings ask one alone', async () => {
  for (const [code, secondChoice] of [
    ['overloaded', true],
    ['model-failed', false],
  ] as const) {
    const asking = openAsking(bundle, { secondChoice });
    serveExpert(asking, 'warm', fail(code));
    const { questions } = serve(asking, 'cold');
    expect(await ask(asking, ['warm', 'cold'])).toMatchObject({ answeredBy: null, reason: code });
    expect(questions).toEqual([]);
  }
});
