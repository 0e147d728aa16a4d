import { describe, expect, test } from 'vitest';
import { createResponder } from '../../shared/bus/responder.ts';
import { AppError } from '../../shared/request/errors.ts';
import { classifySubject, encodeError } from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';
import { logitsReply } from '../support/protocol.ts';
import { postImage } from '../support/service.ts';
import { buses, startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';

describe.each(buses)('edge over %s', (_, open) => {
  test('a sure answer stays on the edge', async () => {
    await using system = await startTinySystem({ open });
    const { status, body } = await postImage(system.url, await flatPng(SURE_RED));
    expect(status).toBe(200);
    expect(body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      label: 'red',
      index: 0,
      confidence: expect.closeTo(1, 5),
      topK: expect.any(Array),
      route: 'edge',
      expert: null,
      degraded: null,
      decision: {
        strategy: 'ask',
        metric: 'max-probability',
        value: expect.closeTo(1, 5),
        threshold: 0.9,
        candidates: [{ expert: 'warm', score: expect.closeTo(1, 5) }],
        reason: 'confident',
        policyVersion: system.bundle.policyVersion,
      },
      timings: {
        decodeMs: expect.any(Number),
        edgeMs: expect.any(Number),
        encodeMs: 0,
        expertRoundTripMs: 0,
        expertMs: 0,
        totalMs: expect.any(Number),
      },
      bytesSent: 0,
      encoding: null,
      hops: [],
      picture: { damaged: false },
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(body.topK.map((one: { label: string }) => one.label)).toEqual(['red', 'grey', 'green', 'blue']);
  });

  test('an unsure one goes to the expert with the most of its top-k, whose answer it becomes', async () => {
    await using system = await startTinySystem({ open });
    const warm = (await postImage(system.url, await flatPng(UNSURE_WARM))).body;
    expect(warm).toMatchObject({ label: 'grey', route: 'expert', expert: 'warm', degraded: null });
    expect(warm.decision).toMatchObject({ reason: 'low-confidence' });
    expect(warm.bytesSent).toBeGreaterThan(100);
    const cold = (await postImage(system.url, await flatPng(UNSURE_COLD))).body;
    expect(cold).toMatchObject({ label: 'blue', route: 'expert', expert: 'cold' });
    expect(cold.decision.candidates[0].expert).toBe('cold');
  });

  test.each([
    ['expert', '?strategy=expert', ['packing', 'generalist']],
    ['ask, nothing being sure enough', '?threshold=1', ['packing', 'generalist']],
    ['ask', '', ['generalist', 'packing']],
    ['edge', '?strategy=edge', ['generalist']],
  ])('a picture is packed beside the generalist only where it will be sent whatever that says: %s', async (...of) => {
    await using system = await startTinySystem({ open });
    const { dependencies } = system.edge;
    const { here, there } = dependencies;
    const { pack } = there;
    const { run } = here;
    const order: string[] = [];
    there.pack = (...picture) => {
      const { open } = pack(...picture);
      let made: ReturnType<typeof open> | undefined;
      const opened = () => {
        if (made === undefined) order.push('packing');
        made ??= open();
        return made;
      };
      return { open: opened, encodeMs: 0 };
    };
    here.run = (...input) => {
      order.push('generalist');
      return run(...input);
    };
    const { body } = await postImage(system.url, await flatPng(UNSURE_WARM), of[1]);
    expect(body.degraded).toBeNull();
    expect(order).toEqual(of[2]);
  });

  test('a picture travels as pixels, or as the caller’s file where that is smaller, with the same answer', async () => {
    await using system = await startTinySystem({ open });
    const [small, large] = await Promise.all([flatPng(UNSURE_WARM), flatPng(UNSURE_WARM, 900, 900)]);
    expect(small.length).toBeLessThan(8 * 8 * 3);
    expect(large.length).toBeGreaterThan(8 * 8 * 3);
    const [file, pixels] = [(await postImage(system.url, small)).body, (await postImage(system.url, large)).body];
    expect([file.encoding, pixels.encoding]).toEqual(['original', 'rgb8']);
    expect(pixels.bytesSent - file.bytesSent).toBeGreaterThan(8 * 8 * 3 - small.length);
    expect([file.label, file.confidence]).toEqual([pixels.label, pixels.confidence]);
  });

  test('strategy and threshold of a request override the manifest', async () => {
    await using system = await startTinySystem({ open });
    const [sure, unsure] = [await flatPng(SURE_RED), await flatPng(UNSURE_WARM)];
    const reasonOf = async (image: Buffer, query: string) => {
      const { body } = await postImage(system.url, image, query);
      return [body.route, body.decision.reason, body.decision.threshold];
    };
    expect(await reasonOf(sure, '?strategy=expert')).toEqual(['expert', 'always-escalates', 0.9]);
    expect(await reasonOf(unsure, '?strategy=edge')).toEqual(['edge', 'never-escalates', 0.9]);
    expect(await reasonOf(unsure, '?threshold=0.1')).toEqual(['edge', 'confident', 0.1]);
  });

  test('where no expert is there the generalist answers, marked no-expert', async () => {
    await using system = await startTinySystem({ open, experts: null });
    const { status, body } = await postImage(system.url, await flatPng(UNSURE_WARM));
    expect(status).toBe(200);
    expect(body).toMatchObject({ label: 'red', route: 'edge', expert: null, degraded: 'no-expert', bytesSent: 0 });
  });

  const good = (modelDigest: string) => logitsReply(Float32Array.of(0, 0, 9, 0), modelDigest);
  const silent = () => new Promise<Message>(() => {});
  test.each<[string, string, (digest: string) => Promise<Message>]>([
    ['silent', 'timeout', silent],
    ['full', 'overloaded', async () => encodeError(new AppError('overloaded', ''))],
    ['late itself', 'timeout', async () => encodeError(new AppError('deadline-exceeded', ''))],
    ['broken', 'expert-error', () => Promise.reject(new Error('broken'))],
    ['of another shape', 'expert-error', async (digest) => ({ ...good(digest), payload: new Uint8Array(6) })],
    ['of another bundle', 'expert-error', async () => good('another')],
    ['talking nonsense', 'expert-error', async () => ({ payload: Buffer.from('?'), headers: { 'Ask-Payload': '?' } })],
    ['silent, but for what is no reply', 'timeout', async () => ({ payload: Buffer.from('?'), headers: {} })],
  ])('an expert that is %s: the generalist answers, marked %s', async (__, degraded, handle) => {
    await using system = await startTinySystem({ open, experts: null });
    createResponder({ bus: system.answerer, queue: 'experts', capacity: 9 }).serve(classifySubject('warm'), () =>
      handle(system.bundle.manifest.models.warm?.sha256 as string),
    );
    await system.settled();
    const { status, body } = await postImage(
      system.url,
      await flatPng(UNSURE_WARM),
      degraded === 'timeout' ? '?deadlineMs=1000' : '',
    );
    expect(status).toBe(200);
    expect(body).toMatchObject({ label: 'red', route: 'edge', expert: null, degraded });
    expect(body.bytesSent).toBeGreaterThan(0);
  });

  test('readiness tells of bus and experts, and does not depend on them', async () => {
    await using system = await startTinySystem({ open, experts: 'cold' });
    const response = await fetch(`${system.url}/readyz`);
    expect([response.status, await response.json()]).toEqual([
      200,
      {
        status: 'ready',
        bus: { kind: expect.any(String), connected: true },
        experts: { warm: { instances: 0, circuit: 'closed' }, cold: { instances: 1, circuit: 'closed' } },
        missing: ['warm'],
      },
    ]);
    const experts = (await (await fetch(`${system.url}/experts`)).json()) as {
      id: string;
      classes: string[];
      instances: [];
    }[];
    expect(experts.map(({ id, classes, instances }) => [id, classes, instances.length])).toEqual([
      ['warm', ['red', 'grey'], 0],
      ['cold', ['green', 'blue'], 1],
    ]);
  });
});

describe('edge: explain', () => {
  test("the generalist's own first labels stand beside the merged ones, also from the cache", async () => {
    await using system = await startTinySystem();
    const image = await flatPng(UNSURE_WARM);
    const { body: alone } = await postImage(system.url, image, '?strategy=edge&topK=3');
    for (const reason of ['low-confidence', 'cache-hit']) {
      const { body } = await postImage(system.url, image, '?topK=3&explain=true');
      expect([body.label, body.decision.reason]).toEqual(['grey', reason]);
      expect(body.edge).toEqual({ topK: alone.topK });
      expect(body.edge.topK.map(({ label }: { label: string }) => label)).toEqual(['red', 'grey', 'blue']);
    }
  });

  test('the labels are there when no expert was asked, too', async () => {
    await using system = await startTinySystem({ experts: null });
    const { body } = await postImage(system.url, await flatPng(SURE_RED), '?explain=true');
    expect([body.route, body.edge]).toEqual(['edge', { topK: body.topK }]);
  });

  test.each(['', '?explain=false'])('only a caller who asks for them gets them: %s', async (query) => {
    await using system = await startTinySystem({ experts: null });
    expect((await postImage(system.url, await flatPng(SURE_RED), query)).body).not.toHaveProperty('edge');
  });

  test.each(['1', 'yes', '', 'null', 'true&explain=true'])(
    'anything but true and false is refused: %s',
    async (value) => {
      await using system = await startTinySystem({ experts: null });
      const { status, body } = await postImage(system.url, await flatPng(SURE_RED), `?explain=${value}`);
      expect([status, body.code]).toEqual([422, 'invalid-parameter']);
      expect(body.detail).toContain('explain');
    },
  );
});

describe('edge: cache', () => {
  test('an identical image is answered from the cache, and says so', async () => {
    await using system = await startTinySystem();
    const image = await flatPng(UNSURE_WARM);
    const first = (await postImage(system.url, image)).body;
    const second = (await postImage(system.url, image, '?topK=1')).body;
    expect(second).toMatchObject({ label: first.label, confidence: first.confidence, route: 'expert', expert: 'warm' });
    expect(second.decision).toEqual({ ...first.decision, reason: 'cache-hit', firstReason: 'low-confidence' });
    expect(first.decision).not.toHaveProperty('firstReason');
    expect([second.bytesSent, second.timings.edgeMs, second.topK.length]).toEqual([0, 0, 1]);
    expect(second.id).not.toBe(first.id);
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain('ask_cache_lookups_total{result="hit"} 1');
    expect(metrics).toContain('ask_cache_lookups_total{result="miss"} 1');
  });

  test('another strategy or threshold is another question, and a degraded answer is not kept', async () => {
    await using system = await startTinySystem({ experts: null });
    const image = await flatPng(UNSURE_WARM);
    const reasons = [];
    for (const query of ['', '', '?strategy=edge', '?strategy=edge', '?threshold=0.1']) {
      reasons.push((await postImage(system.url, image, query)).body.decision.reason);
    }
    expect(reasons).toEqual(['low-confidence', 'low-confidence', 'never-escalates', 'cache-hit', 'confident']);
  });

  test('the cache can be turned off', async () => {
    await using system = await startTinySystem({ env: { ASK_CACHE_BYTES: '0' } });
    const image = await flatPng(SURE_RED);
    await postImage(system.url, image);
    expect((await postImage(system.url, image)).body.decision.reason).toBe('confident');
  });

  test('the oldest answer goes when the bytes are used up', async () => {
    await using system = await startTinySystem({ env: { ASK_CACHE_BYTES: '2500' } });
    const images = await Promise.all([30, 20, 10].map((blue) => flatPng([250, 10, blue])));
    for (const image of images) await postImage(system.url, image);
    const reasons = [];
    for (const image of [...images].reverse()) reasons.push((await postImage(system.url, image)).body.decision.reason);
    expect(reasons).toEqual(['cache-hit', 'cache-hit', 'confident']);
  });
});
