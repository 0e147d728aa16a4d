import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createResponder } from '../../shared/bus/responder.ts';
import { AppError } from '../../shared/request/errors.ts';
import { cancelSubject, classifySubject, decodeCancel, decodeRequest } from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';
import { logitsReply } from '../support/protocol.ts';
import { postImage } from '../support/service.ts';
import { buses, startTinySystem } from '../support/system.ts';
import { flatPng, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const env = { ASK_CACHE_BYTES: '0', ASK_SECOND_CHOICE: 'false' };

/** Edge, and in place of the experts whatever `handle` does. */
async function setUp(
  open: (typeof buses)[number][1],
  handle: (digest: string) => Promise<Message>,
  secondChoice = 'false',
) {
  const system = await startTinySystem({ open, experts: null, env: { ...env, ASK_SECOND_CHOICE: secondChoice } });
  const responder = createResponder({ bus: system.answerer, queue: 'experts', capacity: 99 });
  let asked = 0; // probes apart, which time alone brings
  responder.serve(classifySubject('warm'), (message) => {
    if (!decodeRequest(message).requestId.endsWith('-probe')) asked += 1;
    return handle(system.bundle.manifest.models.warm?.sha256 as string);
  });
  await system.settled();
  return { system, responder, asked: () => asked };
}

const good = (modelDigest: string) => logitsReply(Float32Array.of(0, 0, 0, 9), modelDigest);
const silent = () => new Promise<Message>(() => {});

describe.each(buses)('failing experts over %s', (_, open) => {
  test('after three failures an expert is not asked any more, until it answers a probe', async () => {
    let healthy = false;
    const { system, asked } = await setUp(open, async (digest) => {
      if (!healthy) throw new Error('broken');
      return good(digest);
    });
    await using __ = system;
    const image = await flatPng(UNSURE_WARM);
    const degraded = async () => (await postImage(system.url, image)).body.degraded;
    expect([await degraded(), await degraded(), await degraded()]).toEqual(Array(3).fill('expert-error'));
    expect(await degraded()).toBe('circuit-open');
    expect(asked()).toBe(3);
    const { experts } = (await (await fetch(`${system.url}/readyz`)).json()) as { experts: object };
    expect(experts).toMatchObject({ warm: { circuit: 'open' }, cold: { circuit: 'closed' } });
    await sleep(300);
    healthy = true;
    expect(await degraded()).toBe('circuit-open'); // this one sends the probe
    await waitFor(async () => (await degraded()) === null, 'the circuit to close');
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain('ask_expert_probes_total{expert="warm",outcome="answered"} 1');
    expect(metrics).toContain('ask_expert_circuit_open{expert="warm",state="open"} 0');
  });

  test('a refusal of the picture says nothing about the expert', async () => {
    const { system, asked } = await setUp(open, async () => {
      throw new AppError('too-many-pixels', 'at most 9');
    });
    await using _ = system;
    const image = await flatPng(UNSURE_WARM);
    for (let i = 0; i < 5; i++) expect((await postImage(system.url, image)).body.degraded).toBe('expert-error');
    expect(asked()).toBe(5);
  });

  test('a question refused by a member with another model goes to the next member', async () => {
    let refusals = 3;
    const { system, asked } = await setUp(open, async (digest) => {
      refusals -= 1;
      if (refusals === 2) return good('f'.repeat(64)); // as one does that was told no model
      if (refusals >= 0) throw new AppError('other-model', 'not mine');
      return good(digest);
    });
    await using _ = system;
    const { body } = await postImage(system.url, await flatPng(UNSURE_WARM));
    expect(body).toMatchObject({ route: 'expert', expert: 'warm', degraded: null });
    expect(asked()).toBe(4);
  });

  test('the circuit opens where no member has the model', async () => {
    const { system } = await setUp(open, async () => good('f'.repeat(64)));
    await using _ = system;
    const image = await flatPng(UNSURE_WARM);
    const degraded = async () => (await postImage(system.url, image)).body.degraded;
    expect([await degraded(), await degraded(), await degraded()]).toEqual(Array(3).fill('expert-error'));
    expect(await degraded()).toBe('circuit-open');
  });

  test('the runner-up answers for an absent first choice, and is named', async () => {
    await using system = await startTinySystem({
      open,
      experts: 'cold',
      env: { ...env, ASK_SECOND_CHOICE: 'true' },
      change: ({ routing }) => {
        routing.k = 4;
      },
    });
    await system.settled();
    const { body } = await postImage(system.url, await flatPng(UNSURE_WARM));
    expect(body.decision.candidates.map(({ expert }: { expert: string }) => expert)).toEqual(['warm', 'cold']);
    expect(body).toMatchObject({ route: 'expert', expert: 'cold', degraded: null });
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain('ask_escalations_total{expert="warm",outcome="no-expert"} 1');
    expect(metrics).toContain('ask_escalations_total{expert="cold",outcome="answered"} 1');
  });

  test('a caller who hangs up cancels the question at the expert', async () => {
    const { system, asked } = await setUp(open, silent);
    await using __ = system;
    const cancelled: string[] = [];
    system.answerer.subscribe(cancelSubject('warm'), (message) => void cancelled.push(decodeCancel(message)));
    await system.settled();
    const caller = new AbortController();
    const body = Buffer.from(await flatPng(UNSURE_WARM));
    const headers = { 'content-type': 'image/png' };
    const answer = fetch(`${system.url}/classify`, { method: 'POST', body, headers, signal: caller.signal });
    answer.catch(() => {});
    await waitFor(() => asked() === 1, 'the question');
    caller.abort();
    await waitFor(() => cancelled.length === 1, 'the cancellation');
    expect(cancelled[0]).toMatch(/^[0-9a-f-]{36}-\d+$/);
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain('ask_escalations_total{expert="warm",outcome="cancelled"} 1');
    expect(metrics).toContain('ask_errors_total{code="client-closed"} 1');
  });

  test('an expert does not begin a cancelled question, and counts it', async () => {
    const slow = { rows: Array(4).fill([0, 0, 0, 1]) as [number, number, number, number][], work: 1000 };
    await using system = await startTinySystem({ open, env, models: { warm: slow } });
    const post = async (signal?: AbortSignal) => {
      const body = Buffer.from(await flatPng(UNSURE_WARM));
      const headers = { 'content-type': 'image/png' };
      const init = { method: 'POST', body, headers, ...(signal ? { signal } : {}) };
      return fetch(`${system.url}/classify?deadlineMs=60000`, init).catch(() => undefined);
    };
    const caller = new AbortController();
    const first = post();
    const others = Array.from({ length: 5 }, () => post(caller.signal));
    const inFlight = async () =>
      (await system.experts?.metrics.registry.metrics())?.match(/ask_expert_in_flight (\d+)/)?.[1];
    await waitFor(async () => (await inFlight()) === '6', 'all six at the expert');
    caller.abort();
    await Promise.all([first, ...others]);
    await waitFor(async () => (await inFlight()) === '0', 'the expert to be free');
    const text = (await system.experts?.metrics.registry.metrics()) as string;
    const cancelled = Number(/outcome="client-closed"} (\d)/.exec(text)?.[1]);
    expect(cancelled).toBeGreaterThanOrEqual(4); // the first of them may be running
    const runs = Number(/stage_duration_seconds_count{expert="warm",stage="compute"} (\d)/.exec(text)?.[1]);
    expect(runs).toBeLessThanOrEqual(2);
  });
});
