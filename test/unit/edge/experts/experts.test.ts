import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Arrivals, watchArrivals } from '../../../../services/edge/experts/arrivals.ts';
import { createExpertHealth } from '../../../../services/edge/experts/circuit.ts';
import type { ExpertsContext } from '../../../../services/edge/experts/context.ts';
import { createDirectory } from '../../../../services/edge/experts/directory.ts';
import { createExperts } from '../../../../services/edge/experts/experts.ts';
import { createHedgeBudget } from '../../../../services/edge/experts/hedge-budget.ts';
import { createJournal } from '../../../../services/edge/experts/journal.ts';
import type { Encoding } from '../../../../shared/bundle/cascade.ts';
import { type Bundle, loadBundle } from '../../../../shared/bundle/load.ts';
import { createMemoryBus } from '../../../../shared/bus/memory.ts';
import { createResponder } from '../../../../shared/bus/responder.ts';
import { createEdgeMetrics } from '../../../../shared/observe/edge-metrics.ts';
import { Deadline } from '../../../../shared/request/deadline.ts';
import { AppError } from '../../../../shared/request/errors.ts';
import {
  cancelSubject,
  classifySubject,
  decodeCancel,
  decodeRequest,
  EXPERT_QUEUE,
} from '../../../../shared/wire/expert-protocol.ts';
import type { Message } from '../../../../shared/wire/message.ts';
import type { RawImage } from '../../../../shared/wire/picture.ts';
import { keepLines } from '../../../support/log-lines.ts';
import { logitsReply } from '../../../support/protocol.ts';
import { makeTinyBundle, SIZE, type TinyBundle } from '../../../support/tiny-bundle.ts';
import { waitFor } from '../../../support/wait.ts';

const image: RawImage = { pixels: new Uint8Array(SIZE * SIZE * 3), width: SIZE, height: SIZE };
const LOGITS = Float32Array.of(0, 0, 0, 9);

let files: TinyBundle;
let bundle: Bundle;
beforeAll(async () => {
  files = await makeTinyBundle();
  bundle = await loadBundle(files.directory);
});
afterAll(() => files.remove());

/** What an edge asks with, and experts that answer as told, on one bus. */
function setUp(changes: Partial<ExpertsContext> = {}, awaited: string[] = []) {
  const bus = createMemoryBus();
  const { log } = keepLines();
  const metrics = createEdgeMetrics({
    strategies: [],
    labels: bundle.manifest.labels,
    experts: bundle.there,
    holders: () => [],
    waiting: () => 0,
    circuits: () => [],
  });
  const digest = (expert: string) => bundle.manifest.models[expert]?.sha256 as string;
  const arrivals: Arrivals = watchArrivals({
    bus,
    directory: createDirectory(bus),
    experts: awaited.map((id) => ({ id, sha256: digest(id) })),
    graceMs: 60_000,
    log,
  });
  const healths = new Map(bundle.there.map((id) => [id, createExpertHealth()]));
  const experts = createExperts({
    bundle,
    bus,
    near: false,
    health: (expert) => healths.get(expert) as ReturnType<typeof createExpertHealth>,
    secondChoice: true,
    hedges: createHedgeBudget(),
    arrivals,
    journal: createJournal(log),
    metrics,
    sheds: () => false,
    ...changes,
  });
  const heard: { expert: string; message: Message }[] = [];
  /** Default: with logits of the bundle's model. */
  const serve = (expert: string, handle = async () => logitsReply(LOGITS, digest(expert))) =>
    createResponder({ bus, queue: EXPERT_QUEUE, capacity: 9 }).serve(classifySubject(expert), (message) => {
      heard.push({ expert, message });
      return handle();
    });
  const outcomes = async () =>
    (await metrics.escalations.get()).values
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => `${labels.expert} ${labels.outcome} ${value}`);
  return { bus, experts, arrivals, serve, heard, outcomes };
}

function request(deadlineMs = 60_000) {
  const caller = new AbortController();
  const deadline = new Deadline(deadlineMs, caller.signal);
  return {
    caller,
    context: { requestId: 'r1', deadline, caller: caller.signal },
    [Symbol.dispose]: () => deadline[Symbol.dispose](),
  };
}

type Setup = ReturnType<typeof setUp>;

async function ask({ experts }: Setup, models: [string, string?], encoding: Encoding = { format: 'rgb8' }) {
  using asked = request();
  return experts.ask(models, experts.pack(image, undefined, encoding, asked.context), asked.context);
}

describe('experts', () => {
  test('the first choice answers, and the answer says what it took', async () => {
    const setup = setUp();
    for (const id of ['warm', 'cold']) setup.serve(id);
    const asked = await ask(setup, ['warm', 'cold'], { format: 'png' });
    expect(asked.outputs?.logits?.data).toEqual(LOGITS);
    expect(asked).toMatchObject({ answeredBy: 'warm', degraded: null });
    expect(asked.hops).toMatchObject([{ to: 'warm', encoding: 'png', computeMs: 1 }]);
    const { message } = setup.heard[0] as { message: Message };
    expect(asked.hops[0]?.bytes).toBeGreaterThan(message.payload.length);
    expect(decodeRequest(message)).toMatchObject({
      requestId: 'r1',
      modelDigest: bundle.manifest.models.warm?.sha256.slice(0, 16),
      body: { type: 'image/png' },
    });
    expect(await setup.outcomes()).toEqual(['warm answered 1']);
  });

  test('experts of the same process get pixels, whatever the encoding', async () => {
    const setup = setUp({ near: true });
    setup.serve('warm');
    expect((await ask(setup, ['warm'], { format: 'png' })).hops).toMatchObject([{ to: 'warm', encoding: 'rgb8' }]);
  });

  test('where nobody is there, nothing was sent', async () => {
    const setup = setUp();
    expect(await ask(setup, ['warm'])).toEqual({
      outputs: null,
      answeredBy: null,
      degraded: 'no-expert',
      hops: [{ to: 'warm', bytes: 0, encoding: null, ms: expect.any(Number), computeMs: 0 }],
    });
    expect(await setup.outcomes()).toEqual(['warm no-expert 1']);
  });

  test('the runner-up answers for a first choice that fails, and is named', async () => {
    const setup = setUp();
    setup.serve('cold');
    expect(await ask(setup, ['warm', 'cold'])).toMatchObject({ answeredBy: 'cold', degraded: null });
    expect(await setup.outcomes()).toEqual(['warm no-expert 1', 'cold answered 1']);
  });

  test('the runner-up is not asked where second choices are off', async () => {
    const setup = setUp({ secondChoice: false });
    setup.serve('cold');
    expect(await ask(setup, ['warm', 'cold'])).toMatchObject({ answeredBy: null, degraded: 'no-expert' });
    expect(setup.heard).toEqual([]);
  });

  test('a refusal is a reason of the closed set, and says what was sent for it', async () => {
    const setup = setUp();
    setup.serve('warm', async () => {
      throw new AppError('overloaded', 'too much');
    });
    const asked = await ask(setup, ['warm', 'cold']);
    expect(asked).toMatchObject({ outputs: null, degraded: 'overloaded', hops: [{ to: 'warm', encoding: 'rgb8' }] });
    expect(asked.hops[0]?.bytes).toBeGreaterThan(image.pixels.length);
  });

  test('a device with too much to do asks nobody', async () => {
    const setup = setUp({ sheds: () => true });
    setup.serve('warm');
    expect(await ask(setup, ['warm'])).toEqual({ outputs: null, answeredBy: null, degraded: 'overloaded', hops: [] });
    expect(setup.heard).toEqual([]);
  });

  test('members with another model are passed over, ten at most', async () => {
    const setup = setUp();
    setup.serve('warm', async () => logitsReply(LOGITS, 'f'.repeat(64)));
    expect(await ask(setup, ['warm'])).toMatchObject({ outputs: null, degraded: 'expert-error' });
    expect(setup.heard).toHaveLength(10);
    setup.serve('cold', async () => {
      const digest = bundle.manifest.models.cold?.sha256 as string;
      return logitsReply(LOGITS, setup.heard.length < 13 ? 'f'.repeat(64) : digest);
    });
    expect(await ask(setup, ['cold'])).toMatchObject({ answeredBy: 'cold' });
    expect(setup.heard).toHaveLength(13);
  });

  test('after three failures in a row an expert is not asked any more', async () => {
    const setup = setUp();
    setup.serve('warm', async () => {
      throw new Error('broken');
    });
    const reasons = [];
    for (let i = 0; i < 4; i++) reasons.push((await ask(setup, ['warm'])).degraded);
    expect(reasons).toEqual(['expert-error', 'expert-error', 'expert-error', 'circuit-open']);
    expect(setup.heard).toHaveLength(3);
  });

  test('a picture that cannot be packed is not sent, and no fault of the expert', async () => {
    const setup = setUp();
    setup.serve('warm');
    using asked = request();
    const broken = { ...image, width: 0 };
    for (let i = 0; i < 4; i++) {
      const parcel = setup.experts.pack(broken, undefined, { format: 'png' }, asked.context);
      const { degraded, hops } = await setup.experts.ask(['warm'], parcel, asked.context);
      expect([degraded, hops[0]?.bytes]).toEqual(['expert-error', 0]);
    }
    expect(setup.heard).toEqual([]);
    expect(await ask(setup, ['warm'])).toMatchObject({ answeredBy: 'warm' });
  });

  test('nobody is asked in the last milliseconds of a deadline', async () => {
    const setup = setUp();
    setup.serve('warm');
    using asked = request(5);
    const parcel = setup.experts.pack(image, undefined, { format: 'rgb8' }, asked.context);
    const { degraded, hops } = await setup.experts.ask(['warm'], parcel, asked.context);
    expect([degraded, hops[0]?.bytes]).toEqual(['timeout', 0]);
    expect(setup.heard).toEqual([]);
  });

  test('for a caller who goes the question is cancelled, and nothing is answered', async () => {
    const setup = setUp();
    setup.serve('warm', () => new Promise(() => {}));
    const cancelled: string[] = [];
    setup.bus.subscribe(cancelSubject('warm'), (message) => void cancelled.push(decodeCancel(message)));
    using asked = request();
    const parcel = setup.experts.pack(image, undefined, { format: 'rgb8' }, asked.context);
    const answer = setup.experts.ask(['warm'], parcel, asked.context);
    const gone = new AppError('client-closed', 'gone');
    void waitFor(() => setup.heard.length === 1, 'the question').then(() => asked.caller.abort(gone));
    await expect(answer).rejects.toBe(gone);
    await waitFor(() => cancelled.length > 0, 'the cancellation');
    expect(cancelled).toEqual(['r1']);
    expect(await setup.outcomes()).toEqual(['warm cancelled 1']);
  });

  test('an expert that starts beside the edge is waited for, and asked when it has come', async () => {
    const setup = setUp({}, ['warm']);
    const answer = ask(setup, ['warm']);
    await new Promise(setImmediate); // the question has found nobody by then
    setup.serve('warm');
    const digest = bundle.manifest.models.warm?.sha256;
    const pong = Buffer.from(JSON.stringify({ id: '1', metadata: { expert: 'warm', digest } }));
    setup.bus.subscribe('$SRV.PING.ask-expert', (message) => message.respond(pong, {}));
    expect(await answer).toMatchObject({ answeredBy: 'warm', degraded: null });
    expect(await setup.outcomes()).toEqual(['warm answered 1']);
  });

  test('tensors travel as tensors', async () => {
    const setup = setUp();
    setup.serve('warm');
    using asked = request();
    const tensors = { tokens: { type: 'float16' as const, shape: [1, 2], data: Float16Array.of(1, 2) } };
    const parcel = setup.experts.packTensors(tensors, asked.context);
    const { hops } = await setup.experts.ask(['warm'], parcel, asked.context);
    expect(hops).toMatchObject([{ to: 'warm', encoding: 'tensors' }]);
    expect(decodeRequest((setup.heard[0] as { message: Message }).message).body).toEqual({ tensors });
  });

  test('without a bus nobody can be reached', async () => {
    const setup = setUp();
    expect(setup.experts.reachable).toBe(true);
    await setup.bus.close();
    expect(setup.experts.reachable).toBe(false);
    expect(await ask(setup, ['warm'])).toMatchObject({ degraded: 'no-expert', hops: [{ bytes: 0 }] });
  });
});
