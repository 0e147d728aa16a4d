import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bundle, loadBundle } from '../../../../shared/bundle/load.ts';
import {
  attention,
  logits,
  makeAskedBundle,
  openAsking,
  openRequest,
  pixels,
  serve,
} from '../../../support/experts.ts';
import type { TinyBundle } from '../../../support/tiny-bundle.ts';

let tiny: TinyBundle;
let bundle: Bundle;
beforeAll(async () => {
  tiny = await makeAskedBundle();
  bundle = await loadBundle(tiny.directory);
});
afterAll(() => tiny.remove());

test('escalation: tensors that float16 does not hold are not sent, and the circuit stays closed', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm');
  using asked = openRequest();
  const tokens = { type: 'float32' as const, shape: [1, 1], data: Float32Array.of(70_000) };
  const parcel = asking.experts.packTensors({ tokens }, asked.request);
  const answer = await asking.experts.ask(['warm'], parcel, asked.request);
  expect(answer).toMatchObject({ degraded: 'expert-error', reason: 'not-packed' });
  expect([questions, asking.context.health('warm').state]).toEqual([[], 'closed']);
});

test('escalation: outputs that are named come back, and no others', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm', { ...logits, ...attention });
  using asked = openRequest();
  const parcel = asking.experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request);
  const { outputs } = await asking.experts.ask(['warm'], parcel, asked.request, ['attention']);
  expect([questions[0]?.outputs, Object.keys(outputs ?? {})]).toEqual([['attention'], ['attention']]);
});

test('escalation: questions of one request have names of their own, so that a cancel ends one of them', async () => {
  const asking = openAsking(bundle);
  const { questions } = serve(asking, 'warm');
  using asked = openRequest();
  const parcel = asking.experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request);
  await Promise.all([1, 2].map(() => asking.experts.ask(['warm'], parcel, asked.request)));
  expect(new Set(questions.map(({ requestId }) => requestId)).size).toBe(2);
});

test('escalation: a parcel for each model is made once', async () => {
  const asking = openAsking(bundle);
  serve(asking, 'warm');
  using asked = openRequest();
  const made: string[] = [];
  const parcelFor = (model: string) => {
    made.push(model);
    return asking.experts.pack(pixels, undefined, { format: 'rgb8' }, asked.request);
  };
  await asking.experts.ask(['warm'], parcelFor, asked.request);
  expect(made).toEqual(['warm']);
});
