import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createResponder } from '../../shared/bus/responder.ts';
import { ask, echo, failureOf, subject } from '../support/ask-bus.ts';
import { buses } from '../support/buses.ts';
import { waitFor } from '../support/wait.ts';

describe.each(buses)('bus over %s', (_, open) => {
  test('a request carries payload and headers there and back', async () => {
    await using ends = await open();
    createResponder({ bus: ends.answerer, queue: 'q', capacity: 9 }).serve(subject, echo);
    await ends.settled();
    const reply = await ask(ends.asker);
    expect([Buffer.from(reply.payload).toString(), reply.headers.got]).toEqual(['pixels', 'yes']);
  });

  test('a request that nobody serves fails at once, without waiting for its timeout', async () => {
    await using ends = await open();
    expect(await failureOf(ask(ends.asker, 60_000))).toBe('no-responders');
  });

  test('a request that is not answered in time fails with timeout', async () => {
    await using ends = await open();
    ends.answerer.subscribe(subject, () => {}, 'q');
    await ends.settled();
    expect(await failureOf(ask(ends.asker, 50))).toBe('timeout');
  });

  test('a caller that aborts does not wait', async () => {
    await using ends = await open();
    ends.answerer.subscribe(subject, () => {}, 'q');
    await ends.settled();
    const controller = new AbortController();
    const asked = failureOf(ask(ends.asker, 60_000, controller.signal));
    controller.abort();
    expect(await asked).toBe('aborted');
    expect(await failureOf(ask(ends.asker, 60_000, controller.signal))).toBe('aborted');
  });

  test('members of a queue group share the requests, each goes to one', async () => {
    await using ends = await open();
    const counts = [0, 0];
    for (const member of [0, 1]) {
      createResponder({ bus: ends.answerer, queue: 'q', capacity: 99 }).serve(subject, (message) => {
        counts[member] = (counts[member] as number) + 1;
        return echo(message);
      });
    }
    await ends.settled();
    await Promise.all(Array.from({ length: 60 }, () => ask(ends.asker)));
    expect((counts[0] as number) + (counts[1] as number)).toBe(60);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  test('requestMany collects every answer, and none is an empty list', async () => {
    await using ends = await open();
    expect(await ends.asker.requestMany('$SRV.PING', 50)).toEqual([]);
    for (const name of ['a', 'b']) ends.answerer.subscribe('$SRV.PING', (m) => m.respond(Buffer.from(name), {}));
    await ends.settled();
    const replies = await ends.asker.requestMany('$SRV.PING', 200);
    expect(replies.map((reply) => Buffer.from(reply.payload).toString()).sort()).toEqual(['a', 'b']);
  });

  test('a failing handler answers with the error, and the next request is served', async () => {
    await using ends = await open();
    let calls = 0;
    createResponder({ bus: ends.answerer, queue: 'q', capacity: 9 }).serve(subject, async (message) => {
      calls += 1;
      if (calls === 1) throw new Error('secret');
      return echo(message);
    });
    await ends.settled();
    const { headers } = await ask(ends.asker);
    expect(headers).toEqual({ 'Nats-Service-Error': 'internal', 'Nats-Service-Error-Code': '500' });
    expect((await ask(ends.asker)).headers.got).toBe('yes');
  });

  test('above its capacity a responder refuses at once, and serves again when there is room', async () => {
    await using ends = await open();
    const { promise: release, resolve } = Promise.withResolvers<void>();
    const responder = createResponder({ bus: ends.answerer, queue: 'q', capacity: 2 });
    responder.serve(subject, (message) => release.then(() => echo(message)));
    await ends.settled();
    const held = [ask(ends.asker), ask(ends.asker)];
    await waitFor(() => responder.inFlight === 2, 'two requests in flight');
    expect((await ask(ends.asker)).headers['Nats-Service-Error']).toBe('overloaded');
    resolve();
    expect((await Promise.all(held)).map((reply) => reply.headers.got)).toEqual(['yes', 'yes']);
    expect((await ask(ends.asker)).headers.got).toBe('yes');
  });

  test('a responder that stops answers all it has received and takes nothing new', async () => {
    await using ends = await open();
    const responder = createResponder({ bus: ends.answerer, queue: 'q', capacity: 99 });
    responder.serve(subject, async (message) => {
      await sleep(100);
      return echo(message);
    });
    await ends.settled();
    const held = Array.from({ length: 20 }, () => ask(ends.asker));
    await waitFor(() => responder.inFlight === 20, 'twenty requests in flight');
    await responder.stop();
    expect(responder.inFlight).toBe(0);
    expect((await Promise.all(held)).every((reply) => reply.headers.got === 'yes')).toBe(true);
    expect(await failureOf(ask(ends.asker))).toBe('no-responders');
  });

  test('a closed bus refuses', async () => {
    await using ends = await open();
    await ends.asker.close();
    expect(await failureOf(ask(ends.asker))).toBe('disconnected');
    expect(ends.asker.connected).toBe(false);
  });
});
