import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { receive } from '../../services/edge/http/body/receive.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const LARGEST = 20 * 1024 * 1024;
const bomb = gzipSync(Buffer.alloc(LARGEST));
const member = gzipSync('');
const nothing = Buffer.concat(Array(Math.floor(LARGEST / member.length)).fill(member));

/** A request with that body, compressed, as a server gets it. */
async function arrive(body: Uint8Array) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`);
  socket.write(body);
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  return {
    request,
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      server.close();
    },
  };
}

describe('unpacking', () => {
  test('ends with its signal, although all of the request has come', async () => {
    await using arrived = await arrive(bomb);
    const controller = new AbortController();
    let taken = 0;
    const onChunk = (chunk: Buffer) => {
      taken += chunk.length;
      if (arrived.request.readableEnded) controller.abort(new Error('enough'));
    };
    await expect(
      receive(arrived.request, { most: LARGEST, onChunk, claim: () => {}, signal: controller.signal }),
    ).rejects.toThrow('enough');
    expect(arrived.request.readableEnded).toBe(true);
    expect(taken).toBeLessThan(LARGEST);
  });

  test('ends where there is no room for what comes out, and says so', async () => {
    await using arrived = await arrive(bomb);
    const claim = (bytes: number) => {
      if (bytes > 1_000_000) throw new Error('no room');
    };
    let taken = 0;
    const onChunk = (chunk: Buffer) => {
      taken += chunk.length;
    };
    await expect(
      receive(arrived.request, { most: LARGEST, onChunk, claim, signal: new AbortController().signal }),
    ).rejects.toThrow('no room');
    expect(taken).toBeLessThanOrEqual(1_000_000);
  });

  test('of millions of empty pieces ends at the deadline, and others are served', async () => {
    await using system = await startTinySystem({ experts: null });
    const answer = await fetch(`${system.url}/classify?deadlineMs=1`, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: nothing,
    });
    expect(answer.status).toBe(408);
    expect(await answer.json()).toMatchObject({
      code: 'request-timeout',
      detail: expect.stringContaining('deadlineMs'),
    });
    const body = new Uint8Array(await flatPng(SURE_RED));
    expect((await fetch(`${system.url}/classify`, { method: 'POST', body })).status).toBe(200);
  });

  test('ends when the caller hangs up', async () => {
    await using system = await startTinySystem({ experts: null, env: { ASK_DEADLINE_MS: '60000' } });
    const { hostname, port } = new URL(system.url);
    const socket = connect(Number(port), hostname);
    const head = `POST /classify HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: ${nothing.length}`;
    socket.write(`${head}\r\n\r\n`);
    socket.write(nothing.subarray(0, 1_000_000), () => socket.destroy());
    const metrics = async () => (await fetch(`${system.url}/metrics`)).text();
    await waitFor(async () => (await metrics()).includes('ask_errors_total{code="client-closed"} 1'), 'the count');
  });
});
