import { describe, expect, test } from 'vitest';
import { VERSION } from '../../shared/settings/version.ts';
import { classifySubject, encodeRequest } from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';
import { keepLines } from '../support/log-lines.ts';
import { readReply } from '../support/protocol.ts';
import { buses, startTinySystem } from '../support/system.ts';
import { flatPng, SIZE } from '../support/tiny-bundle.ts';

const image = { pixels: new Uint8Array(SIZE * SIZE * 3).fill(120), width: SIZE, height: SIZE };
const question = (deadlineMs = 5000, picture = image) => encodeRequest({ requestId: 'r', deadlineMs, body: picture });
const colours: [number, number, number, number][] = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 0],
];
const slow = { rows: [1, 2, 3, 4].map((bias): [number, number, number, number] => [0, 0, 0, bias]), work: 400 };

const ask = (
  system: Awaited<ReturnType<typeof startTinySystem>>,
  message: Message,
  expert = 'warm',
  timeoutMs = 5000,
) =>
  system.edge.dependencies.bus.request(classifySubject(expert), message.payload, {
    headers: message.headers,
    timeoutMs,
  });

describe.each(buses)('expert over %s', (_, open) => {
  test('an expert answers with its logits, its time and its digest', async () => {
    await using system = await startTinySystem({ open });
    const reply = readReply(await ask(system, question()), 4);
    expect(Array.from(reply.logits)).toEqual([0, 0, 0, 9]);
    expect(reply.modelDigest).toBe(system.bundle.manifest.models.warm?.sha256);
    expect(reply.expertMs).toBeGreaterThan(0);
  });

  test('a message that it cannot use is refused by name, without computing', async () => {
    await using system = await startTinySystem({ open });
    const errorOf = async (message: Message) => (await ask(system, message)).headers['Nats-Service-Error'];
    const small = { pixels: new Uint8Array(12), width: 2, height: 2 };
    expect(await errorOf(question(5000, small))).toBe('invalid-parameter');
    expect(await errorOf(question(0))).toBe('deadline-exceeded');
    const modelDigest = 'f'.repeat(64);
    expect(await errorOf(encodeRequest({ requestId: 'r', deadlineMs: 5000, modelDigest, body: image }))).toBe(
      'other-model',
    );
    expect(await errorOf({ payload: new Uint8Array(), headers: {} })).toBe('invalid-parameter');
    const metrics = await system.experts?.metrics.registry.metrics();
    expect(metrics).toContain('ask_expert_requests_total{expert="warm",outcome="deadline-exceeded"} 1');
    expect(metrics).toContain('ask_expert_stage_duration_seconds_count{expert="warm",stage="compute"} 0');
  });

  test('a file is decoded as at the edge, a broken one or a bomb is refused by name', async () => {
    await using system = await startTinySystem({
      open,
      models: { warm: { rows: colours } },
      env: { ASK_MAX_PIXELS: '9999' },
    });
    const send = async (bytes: Uint8Array) =>
      ask(system, encodeRequest({ requestId: 'r', deadlineMs: 5000, body: { bytes, type: 'image/png' } }));
    const file = await flatPng([120, 60, 30], 50, 40);
    const { logits } = readReply(await send(file), 4);
    expect(Array.from(logits, (value) => Math.round(value))).toEqual([120, 60, 30, 0]);
    const errorOf = async (bytes: Uint8Array) => (await send(bytes)).headers['Nats-Service-Error'];
    expect(await errorOf(file.subarray(0, 60))).toBe('corrupt-image');
    expect(await errorOf(Buffer.from('nonsense'))).toBe('not-an-image');
    expect(await errorOf(await flatPng([0, 0, 0], 100, 100))).toBe('too-many-pixels');
  });

  test('only the experts named by ASK_EXPERTS are there', async () => {
    await using system = await startTinySystem({ open, experts: 'cold' });
    await expect(ask(system, question(), 'warm')).rejects.toMatchObject({ failure: 'no-responders' });
    expect(readReply(await ask(system, question(), 'cold'), 4).logits[2]).toBe(9);
  });

  test('questions beyond its queue are refused with overloaded, the rest are answered', async () => {
    await using system = await startTinySystem({ open, models: { warm: slow }, env: { ASK_EXPERT_QUEUE: '3' } });
    const replies = await Promise.all(Array.from({ length: 8 }, () => ask(system, question(60_000), 'warm', 60_000)));
    const codes = replies.map((reply) => reply.headers['Nats-Service-Error'] ?? 'answered');
    expect(codes.filter((code) => code === 'answered')).toHaveLength(3);
    expect(codes.filter((code) => code === 'overloaded')).toHaveLength(5);
    const { values } = (await system.experts?.metrics.requests.get()) ?? {};
    expect(values).toContainEqual({ labels: { expert: 'warm', outcome: 'overloaded' }, value: 5 });
  });

  test('a question that would wait beyond its deadline is refused with overloaded, not left to time out', async () => {
    await using system = await startTinySystem({ open, models: { warm: slow } });
    await ask(system, question(60_000), 'warm', 60_000);
    const patient = Array.from({ length: 10 }, () => ask(system, question(60_000), 'warm', 60_000));
    const reply = await ask(system, question(20), 'warm', 60_000);
    expect(reply.headers['Nats-Service-Error']).toBe('overloaded');
    for (const answer of await Promise.all(patient)) expect(readReply(answer, 4).logits[3]).toBe(4);
  });

  test('with batching each question gets its own answer', async () => {
    const rows = [0, 1, 2, 3].map((i): [number, number, number, number] => [i / 10, 0, 0, 0]);
    const env = { ASK_BATCH_MAX: '4', ASK_WORKERS: '1' };
    await using system = await startTinySystem({ open, models: { warm: { rows } }, env });
    const reds = Array.from({ length: 10 }, (__, i) => 20 * i);
    const replies = await Promise.all(
      reds.map((red) => ask(system, question(5000, { ...image, pixels: image.pixels.map(() => red) }))),
    );
    expect(replies.map((reply) => readReply(reply, 4).logits[1])).toEqual(
      reds.map((red) => expect.closeTo(red / 10, 1)),
    );
  });

  test('it introduces itself as ADR-32 says, and counts requests and errors', async () => {
    await using system = await startTinySystem({ open });
    await ask(system, question());
    await ask(system, question(0));
    const bus = system.edge.dependencies.bus;
    const collect = async (subject: string) =>
      (await bus.requestMany(subject, 200)).map((reply) => JSON.parse(Buffer.from(reply.payload).toString()));
    const pings = await collect('$SRV.PING');
    expect(pings.map((ping) => [ping.type, ping.name, ping.version, ping.metadata.expert]).sort()).toEqual(
      ['cold', 'warm'].map((id) => ['io.nats.micro.v1.ping_response', 'ask-expert', VERSION, id]),
    );
    const warm = pings.find((ping) => ping.metadata.expert === 'warm');
    const [info] = await collect(`$SRV.INFO.ask-expert.${warm.id}`);
    expect(info.endpoints).toEqual([
      { name: 'classify', subject: 'ask.v1.expert.warm.classify', queue_group: 'experts', metadata: {} },
    ]);
    expect(info.metadata).toMatchObject({ classes: '0,3', digest: system.bundle.manifest.models.warm?.sha256 });
    const stats = (await collect('$SRV.STATS.ask-expert')).find((one) => one.metadata.expert === 'warm');
    expect(stats.endpoints[0]).toMatchObject({ num_requests: 2, num_errors: 1 });
    expect(stats.endpoints[0].last_error).toContain('deadline');
  });

  test('stopping under load answers everything it has taken', async () => {
    await using system = await startTinySystem({ open, models: { warm: slow } });
    const asked = Array.from({ length: 6 }, () => ask(system, question(60_000), 'warm', 60_000));
    const first = await Promise.race(asked);
    await system.experts?.stop();
    const replies = await Promise.all(asked);
    expect(readReply(first, 4).logits[3]).toBe(4);
    expect(replies.map((reply) => readReply(reply, 4).logits[3])).toEqual(Array(6).fill(4));
  });
});

test('expert: an id that the bundle lacks stops the start, which lists those it has', async () => {
  await expect(startTinySystem({ experts: 'hot' })).rejects.toThrow("no expert 'hot', it has warm, cold");
});

test('expert: the first question of each kind that it cannot answer is logged, with the reason', async () => {
  const { log, of } = keepLines();
  await using system = await startTinySystem({ log });
  const bad = { payload: new Uint8Array(), headers: {} };
  for (let i = 0; i < 20; i++) {
    await ask(system, bad);
    await ask(system, question(0));
  }
  expect(of('a question was not answered').map(({ level, expert, code }) => [level, expert, code])).toEqual([
    [40, 'warm', 'invalid-parameter'],
    [40, 'warm', 'deadline-exceeded'],
  ]);
});
