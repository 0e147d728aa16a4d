import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { buses, type SystemOptions, startTinySystem } from '../support/system.ts';
import { waitFor } from '../support/wait.ts';

/** A system, and a connection to it that is kept alive after a first answer. */
async function startWithConnection(options: SystemOptions = {}) {
  const system = await startTinySystem(options);
  const { hostname, port } = new URL(system.url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk));
  const closed = once(socket, 'close');
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  await waitFor(() => answer.includes('"alive"'), 'the first answer');
  answer = '';
  return { ...system, socket, answer: () => answer, closed };
}

const head = (length: number) =>
  `POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: ${length}\r\n\r\n`;

test.each([
  ['is served', 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n', /^HTTP\/1.1 200 .*"alive"/s],
  ['is refused', `${head(1)}x`, /^HTTP\/1.1 503 .*retry-after: 1.*"code":"stopping"/s],
])('stopping: a request on an open connection %s', async (_, request, expected) => {
  await using system = await startWithConnection();
  system.socket.write(request);
  await system.edge.stop(); // closes idle connections, of which this seems to be one
  await system.closed;
  expect(system.answer()).toMatch(expected);
  expect(system.answer()).toMatch(/^connection: close\r$/im);
});

test('stopping: a caller that is still sending its body is not cut off before it has its answer', async () => {
  await using system = await startWithConnection();
  const { socket } = system;
  socket.write(head(5_000_000));
  socket.pause();
  const stopped = system.edge.stop();
  for (let i = 0; i < 5; i++) {
    await new Promise((sent) => socket.write(Buffer.alloc(1_000_000), sent));
    await sleep(100);
  }
  socket.resume();
  await Promise.all([stopped, system.closed]);
  expect(system.answer()).toMatch(/^HTTP\/1.1 503 .*"code":"stopping"/s);
});

test('stopping: a question about readiness is still answered', async () => {
  const open = buses.find(([name]) => name === 'NATS')?.[1];
  await using system = await startWithConnection({ ...(open && { open }) });
  system.socket.write('GET /experts HTTP/1.1\r\nhost: x\r\n\r\n');
  await fetch(`${system.url}/healthz`); // by then the other request is being answered, which takes its time over NATS
  await system.edge.stop();
  await system.closed;
  expect(system.answer()).toMatch(/^HTTP\/1.1 200 .*"instances"/s);
});

test('stopping: a request behind one that is being answered is answered, too', async () => {
  const open = buses.find(([name]) => name === 'NATS')?.[1];
  await using system = await startWithConnection({ ...(open && { open }) });
  system.socket.write('GET /experts HTTP/1.1\r\nhost: x\r\n\r\nGET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n');
  await fetch(`${system.url}/healthz`);
  await system.edge.stop();
  await system.closed;
  expect(system.answer()).toMatch(/^HTTP\/1.1 200 .*"instances".*HTTP\/1.1 200 .*"openapi"/s);
});
