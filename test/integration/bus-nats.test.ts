import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNatsAccess } from '../../shared/bus/nats/access.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createResponder } from '../../shared/bus/responder.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { ask, echo, failureOf, payload, subject } from '../support/ask-bus.ts';
import { makeFolder } from '../support/nats-identity.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { waitFor } from '../support/wait.ts';

describe('NATS connection', () => {
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

  test('a reply too large for the server is an error to the asker, and the next question is served', async () => {
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
    let attempts = 0;
    const access = {
      authenticator: () => {
        attempts += 1;
        return { user: 'edge', pass: 'right' };
      },
    };
    const withPassword = (password: string, port?: number) =>
      startNats({ user: 'edge', password, ...(port === undefined ? {} : { port }) });
    const first = await withPassword('right');
    const bus = connectNats({ servers: [first.url], name: 'patient', log, access });
    await waitFor(() => bus.connected, 'the connection');
    await first.stop();
    const second = await withPassword('wrong', first.port);
    const before = attempts;
    await waitFor(() => attempts >= before + 4, 'several attempts'); // the last of which may still be under way
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
