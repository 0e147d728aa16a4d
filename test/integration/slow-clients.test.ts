import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { createResponder } from '../../shared/bus/responder.ts';
import { classifySubject, decodeRequest, EXPERT_QUEUE } from '../../shared/wire/expert-protocol.ts';
import { logitsReply } from '../support/protocol.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

/** A request whose body stops after some bytes. */
async function beginPost(url: string, length: number, query = '', headers = '') {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  await once(socket, 'connect');
  const lines = ['host: edge', 'content-type: image/png', `content-length: ${length}${headers}`];
  const head = `POST /classify${query} HTTP/1.1\r\n${lines.join('\r\n')}`;
  socket.write(`${head}\r\n\r\n`);
  return { socket, answer: () => answer, closed: once(socket, 'close') };
}

const env = { ASK_CACHE_BYTES: '0' };

describe('slow clients: a body', () => {
  test('that does not arrive within the deadline is answered 408, and its connection closed', async () => {
    await using system = await startTinySystem({ env });
    const slow = await beginPost(system.url, 1000, '?deadlineMs=200');
    slow.socket.write('x');
    await slow.closed;
    expect(slow.answer()).toContain('HTTP/1.1 408');
    expect(slow.answer()).toContain('"code":"request-timeout"');
    expect(slow.answer()).toContain('deadlineMs');
    const metrics = await (await fetch(`${system.url}/metrics`)).text();
    expect(metrics).toContain('ask_errors_total{code="request-timeout"} 1');
    expect(metrics).not.toMatch(/"invalid-body"\} [1-9]/);
  });

  test('that stalls shuts nobody out: the oldest of them is dropped when there are too many', async () => {
    await using system = await startTinySystem({ env: { ...env, ASK_EDGE_QUEUE: '4', ASK_DEADLINE_MS: '60000' } });
    const slow = await Promise.all(Array.from({ length: 40 }, () => beginPost(system.url, 1000)));
    const image = await flatPng(SURE_RED);
    for (let i = 0; i < 5; i++) expect((await postImage(system.url, image)).status).toBe(200);
    await waitFor(
      () => slow.filter(({ answer }) => answer().includes('HTTP/1.1 408')).length >= 24,
      'the oldest to go',
    );
    for (const { socket } of slow) socket.destroy();
  });

  test('as large and fast as others cuts none of them off: the surplus gets 429', async () => {
    await using system = await startTinySystem({
      env: { ...env, ASK_DEADLINE_MS: '20000', ASK_MAX_BODY_BYTES: '4000000' },
    });
    const file = await sharp(await flatPng(SURE_RED))
      .jpeg()
      .toBuffer();
    const image = Buffer.concat([file, Buffer.alloc(3_900_000)]);
    const answers = await Promise.all(Array.from({ length: 12 }, () => postImage(system.url, image, '', 'image/jpeg')));
    const statuses = answers.map(({ status }) => status);
    expect(statuses).toContain(200);
    for (const { status, headers } of answers) {
      if (status !== 200) expect([status, headers.get('retry-after')]).toEqual([429, expect.stringMatching(/^\d+$/)]);
    }
  });

  test('that is slow takes its time off the deadline', async () => {
    await using system = await startTinySystem({ env, experts: null });
    const { sha256 } = system.bundle.manifest.models.warm as { sha256: string };
    let leftMs = Number.NaN;
    const responder = createResponder({ bus: system.answerer, queue: EXPERT_QUEUE, capacity: 9 });
    responder.serve(classifySubject('warm'), async (message) => {
      leftMs = decodeRequest(message).deadlineMs;
      return logitsReply(Float32Array.of(0, 0, 0, 9), sha256);
    });
    const image = await flatPng(UNSURE_WARM);
    const slow = await beginPost(system.url, image.length, '?deadlineMs=20000', '\r\nexpect: 100-continue');
    await waitFor(() => slow.answer().includes('100 Continue'), 'the deadline to begin');
    slow.socket.write(image.subarray(0, 10));
    await sleep(400);
    slow.socket.write(image.subarray(10));
    await waitFor(() => slow.answer().includes('HTTP/1.1 200'), 'the answer');
    expect(leftMs).toBeLessThan(19_605);
    slow.socket.destroy();
  });

  test('whose sender goes is counted as client-closed', async () => {
    await using system = await startTinySystem({ env });
    const slow = await beginPost(system.url, 1000);
    slow.socket.write('x');
    await sleep(50);
    slow.socket.destroy();
    const metrics = async () => (await fetch(`${system.url}/metrics`)).text();
    await waitFor(async () => (await metrics()).includes('ask_errors_total{code="client-closed"} 1'), 'the count');
    expect(await metrics()).not.toMatch(/"invalid-body"\} [1-9]/);
  });
});
