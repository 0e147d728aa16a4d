import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { usernamePasswordAuthenticator } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import type { Bus, BusError } from '../../shared/bus/bus.ts';
import { openNatsAccess } from '../../shared/bus/nats/access.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createResponder } from '../../shared/bus/responder.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { buses } from '../support/buses.ts';
import { makeFolder } from '../support/nats-identity.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { waitFor } from '../support/wait.ts';

const subject = 'ask.v1.expert.one.classify';
const payload = Buffer.from('pixels');
const echo = async (message: { payload: Uint8Array; headers: Record<string, string> }) => ({
  payload: message.payload,
  headers: { got: message.headers.sent ?? '' },
});

const ask = (bus: Bus, timeoutMs = 5000, signal?: AbortSignal) =>
  bus.request(subject, payload, { headers: { sent: 'yes' }, timeoutMs, ...(signal ? { signal } : {}) });

const failureOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 'none',
    (error: BusError) => error.failure,
  );

describe.each(buses)('%s', (_, open) => {
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

describe('NATS - connection', () => {
  const log = createLog('silent', 'test');

  test('a server that comes later is found, and subscriptions made before take effect', async () => {
    const port = await freePort();
    const bus = connectNats({ servers: [`nats://127.0.0.1:${port}`], name: 'early', log });
    createResponder({ bus, queue: 'q', capacity: 9 }).serve(subject, echo);
    expect(await failureOf(ask(bus))).toBe('disconnected');
    await using server = await startNats({ port });
    expect(server.port).toBe(port);
    await waitFor(() => bus.connected, 'the connection');
    expect((await ask(bus)).headers.got).toBe('yes');
    await bus.close();
  });

  test('without a server requests fail at once; after a restart they work again', async () => {
    const first = await startNats();
    const bus = connectNats({ servers: [first.url], name: 'loyal', log });
    await waitFor(() => bus.connected, 'the connection');
    createResponder({ bus, queue: 'q', capacity: 9 }).serve(subject, echo);
    await bus.flush();
    await first.stop();
    await waitFor(() => !bus.connected, 'the loss to be noticed');
    expect(await failureOf(ask(bus, 60_000))).toBe('disconnected');
    await using second = await startNats({ port: first.port });
    await waitFor(() => bus.connected, 'the reconnection');
    expect(second.port).toBe(first.port);
    expect((await ask(bus)).headers.got).toBe('yes');
    await bus.close();
  });

  test('a question under way when the server goes fails at once', async () => {
    const server = await startNats();
    const bus = connectNats({ servers: [server.url], name: 'hasty', log });
    await waitFor(() => bus.connected, 'the connection');
    let asked = 0;
    bus.subscribe(subject, () => {
      asked += 1; // and never answers
    });
    await bus.flush();
    const failure = failureOf(ask(bus, 60_000));
    await waitFor(() => asked === 1, 'the question to be under way');
    await server.stop();
    expect(await failure).toBe('disconnected');
    await bus.close();
  });

  test('a malformed message is refused, and the connection goes on', async () => {
    await using server = await startNats();
    const bus = connectNats({ servers: [server.url], name: 'robust', log });
    await waitFor(() => bus.connected, 'the connection');
    createResponder({ bus, queue: 'q', capacity: 9 }).serve(subject, echo);
    await bus.flush();
    const header = 'NATS/1.0\r\nbad name: x\r\n\r\n';
    const socket = connect(server.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write('CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n');
    socket.write(`HPUB ${subject} reply ${header.length} ${header.length + 2}\r\n${header}hi\r\n`);
    await waitFor(() => answer.includes('Nats-Service-Error: invalid-body'), 'the refusal');
    socket.destroy();
    expect((await ask(bus)).headers.got).toBe('yes');
    await bus.close();
  });

  test('a malformed reply fails its own request at once, and the connection goes on', async () => {
    await using server = await startNats();
    const bus = connectNats({ servers: [server.url], name: 'robust', log });
    await waitFor(() => bus.connected, 'the connection');
    const header = 'NATS/1.0\r\nbad name: x\r\n\r\n';
    const socket = connect(server.port, '127.0.0.1');
    let served = 0;
    socket.on('data', (chunk) => {
      const question = /MSG \S+ 1 (\S+) /.exec(chunk.toString('latin1'));
      if (!question) return;
      served += 1;
      if (served === 1) socket.write(`HPUB ${question[1]} ${header.length} ${header.length}\r\n${header}\r\n`);
      else socket.write(`PUB ${question[1]} 2\r\nhi\r\n`);
    });
    socket.write(`CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB ${subject} 1\r\nPING\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    await waitFor(async () => (await failureOf(ask(bus, 60_000))) === 'unreadable', 'the malformed reply');
    expect(Buffer.from((await ask(bus, 60_000)).payload).toString()).toBe('hi');
    expect(served).toBe(2);
    socket.destroy();
    await bus.close();
  });

  test('a reply that is too large for the server is an error to the asker, and the next question is served', async () => {
    await using folder = await makeFolder();
    const config = join(folder.path, 'nats.conf');
    await writeFile(config, 'max_payload: 1024, max_pending: 1MB');
    await using server = await startNats({ config });
    const bus = connectNats({ servers: [server.url], name: 'talkative', log });
    await waitFor(() => bus.connected, 'the connection');
    let calls = 0;
    const responder = createResponder({ bus, queue: 'q', capacity: 9 });
    responder.serve(subject, async (message) => {
      calls += 1;
      return calls === 1 ? { payload: new Uint8Array(2000), headers: {} } : echo(message);
    });
    bus.subscribe('discovery', (message) => message.respond(new Uint8Array(2000), {}));
    await bus.flush();
    const error = { 'Nats-Service-Error': 'internal', 'Nats-Service-Error-Code': '500' };
    expect((await ask(bus)).headers).toEqual(error);
    expect((await ask(bus)).headers.got).toBe('yes');
    expect((await bus.request('discovery', payload, { headers: {}, timeoutMs: 5000 })).headers).toEqual(error);
    await responder.stop();
    await bus.close();
  });

  test('a question that the server forbids fails at once', async () => {
    await using folder = await makeFolder();
    const config = join(folder.path, 'nats.conf');
    await writeFile(config, 'authorization { users: [{ user: a, password: b, permissions: { publish: "other" } }] }');
    await using server = await startNats({ config });
    const access = openNatsAccess(readConfig({ ASK_NATS_USER: 'a', ASK_NATS_PASSWORD: 'b' }), log);
    const bus = connectNats({ servers: [server.url], name: 'forbidden', log, access });
    await waitFor(() => bus.connected, 'the connection');
    expect(await failureOf(ask(bus, 60_000))).toBe('disconnected');
    await bus.close();
  });

  test('a password that is wrong for a while does not end the connection', async () => {
    const access = { authenticator: usernamePasswordAuthenticator('edge', 'right') };
    const withPassword = (password: string, port?: number) =>
      startNats({ user: 'edge', password, ...(port === undefined ? {} : { port }) });
    const first = await withPassword('right');
    const bus = connectNats({ servers: [first.url], name: 'patient', log, access });
    await waitFor(() => bus.connected, 'the connection');
    await first.stop();
    const second = await withPassword('wrong', first.port);
    await sleep(2500); // several attempts, each refused
    expect(bus.connected).toBe(false);
    await second.stop();
    await using third = await withPassword('right', first.port);
    expect(third.port).toBe(first.port);
    await waitFor(() => bus.connected, 'the reconnection');
    await bus.close();
  });

  test('of several servers each is tried again, also one that was not there at first', async () => {
    const port = await freePort();
    const first = await startNats();
    const servers = [`nats://127.0.0.1:${port}`, first.url];
    // Each has its own order.
    const clients = Array.from({ length: 4 }, () => connectNats({ servers, name: 'of-two', log }));
    await waitFor(() => clients.every((bus) => bus.connected), 'the connections');
    await using second = await startNats({ port });
    const answerer = connectNats({ servers: [second.url], name: 'answerer', log });
    createResponder({ bus: answerer, queue: 'q', capacity: 9 }).serve(subject, echo);
    await waitFor(() => answerer.connected, 'the connection');
    await answerer.flush();
    await first.stop();
    const asked = () => Promise.all(clients.map((bus) => failureOf(ask(bus, 500))));
    await waitFor(async () => (await asked()).every((failure) => failure === 'none'), 'answers over the other server');
    for (const bus of [...clients, answerer]) await bus.close();
  });

  test('closing does not wait for a server that accepts and stays silent', async () => {
    await using silent = await listenSilently();
    const bus = connectNats({ servers: [`127.0.0.1:${silent.port}`], name: 'hasty', log });
    await waitFor(() => silent.connections > 0, 'the attempt');
    await bus.close();
    expect(bus.connected).toBe(false);
  });

  test('closing while still looking for a server ends the search', async () => {
    const bus = connectNats({ servers: ['nats://127.0.0.1:1'], name: 'lost', log });
    await bus.close();
    expect(bus.connected).toBe(false);
  });
});

async function listenSilently() {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    get connections() {
      return sockets.length;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
