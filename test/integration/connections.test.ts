import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
let url: string;
beforeAll(async () => {
  system = await startTinySystem();
  url = system.url;
});
afterAll(() => system[Symbol.asyncDispose]());

describe('connections', () => {
  test('a deadline that even the generalist cannot meet is 504', async () => {
    const slow = { rows: [1, 2, 3, 4].map((bias): [number, number, number, number] => [0, 0, 0, bias]), work: 1000 };
    await using busy = await startTinySystem({ models: { generalist: { ...slow, attention: true } } });
    const { status, body } = await postImage(busy.url, await flatPng(SURE_RED), '?deadlineMs=20');
    expect([status, body.code]).toEqual([504, 'deadline-exceeded']);
  });

  test('more requests than allowed get 429 with Retry-After, the others are answered', async () => {
    const slow = { rows: [1, 2, 3, 4].map((bias): [number, number, number, number] => [0, 0, 0, bias]), work: 300 };
    const env = { ASK_EDGE_QUEUE: '2', ASK_CACHE_BYTES: '0', ASK_DEADLINE_MS: '60000' };
    await using busy = await startTinySystem({ models: { generalist: { ...slow, attention: true } }, env });
    const image = await flatPng(SURE_RED);
    const answers = await Promise.all(Array.from({ length: 8 }, () => postImage(busy.url, image, '?strategy=edge')));
    const statuses = answers.map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(2);
    const refused = answers.find(({ status }) => status === 429);
    expect([refused?.body.code, refused?.headers.get('retry-after')]).toEqual(['overloaded', '1']);
  });

  test('a client that hangs up half-way does no harm', async () => {
    const headers = { 'content-type': 'image/png', 'content-length': '100000' };
    const half = send(headers, Buffer.alloc(5000));
    await waitFor(() => (half.socket?.bytesWritten ?? 0) > 5000, 'half the body to be sent');
    half.destroy();
    expect((await postImage(url, await flatPng(SURE_RED))).status).toBe(200);
  });

  test('for a client that hangs up while the generalist works no expert is asked', async () => {
    const rows = [1, 1, 1, 1].map((bias): [number, number, number, number] => [0, 0, 0, bias]);
    await using busy = await startTinySystem({ models: { generalist: { rows, attention: true, work: 600 } } });
    const image = await flatPng(SURE_RED);
    const request = send({ 'content-type': 'image/png', 'content-length': image.length }, image, busy.url);
    const metric = async (line: string) => (await (await fetch(`${busy.url}/metrics`)).text()).includes(line);
    await waitFor(() => metric('ask_cache_lookups_total{result="miss"} 1'), 'the request to be taken up');
    request.destroy();
    await waitFor(() => metric('ask_errors_total{code="client-closed"} 1'), 'the hang-up to be noticed');
    expect(await metric('ask_escalations_total{expert="warm",outcome="answered"} 0')).toBe(true);
    expect(await metric('ask_escalations_total{expert="warm",outcome="cancelled"} 0')).toBe(true);
    expect((await postImage(busy.url, image)).body.route).toBe('expert');
  });

  test('a refused form is read to its end: a client that writes first is not kept waiting', async () => {
    await using patient = await startTinySystem();
    const parts = [
      '--x',
      'content-disposition: form-data; name="other"; filename="a"',
      '',
      'a'.repeat(10_000_000),
      '--x--',
      '',
    ];
    const body = Buffer.from(parts.join('\r\n'));
    const headers = { 'content-type': 'multipart/form-data; boundary=x', 'content-length': body.length };
    const request = send(headers, body, patient.url);
    const answered = new Promise<number | undefined>((resolve) => request.on('response', (r) => resolve(r.statusCode)));
    request.end();
    await waitFor(() => request.writableFinished, 'the body to be written');
    expect(await answered).toBe(400);
    request.destroy();
  });

  test.each([
    ['announced', { 'content-length': 10_000_000 }],
    ['in pieces', { 'transfer-encoding': 'chunked' }],
  ])('a body that is too large, %s, is read to its end: a client that writes first is answered', async (_, length) => {
    await using strict = await startTinySystem({ env: { ASK_MAX_BODY_BYTES: '1000' } });
    const request = send({ 'content-type': 'image/png', ...length }, Buffer.alloc(10_000_000), strict.url);
    const failed = new Promise<string>((resolve) => request.on('error', (error) => resolve(error.message)));
    const answered = new Promise<number | undefined>((resolve) => request.on('response', (r) => resolve(r.statusCode)));
    request.end();
    const written = waitFor(() => request.writableFinished, 'the body to be written').then(() => answered);
    expect(await Promise.race([written, failed])).toBe(413);
    request.destroy();
  });

  test('a request that was answered before its broken end gets no second answer', async () => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname).on('error', () => {});
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('POST /nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx');
    await waitFor(() => answer.includes('"not-found"'), 'the first answer');
    socket.write('not a chunk');
    await closed;
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 404']);
  });

  test.each([
    [
      'an address that cannot be decoded',
      'GET /%ZZ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      '400',
      'bad-request',
    ],
    ['no HTTP', 'hello\r\n\r\n', '400', 'bad-request'],
    ['no Host', 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n', '400', 'bad-request'],
    ['two Hosts', 'GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\nconnection: close\r\n\r\n', '400', 'bad-request'],
    [
      'an expectation that nobody knows',
      'GET /nothing HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\nconnection: close\r\n\r\n',
      '404',
      'not-found',
    ],
    ['huge headers', `GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, '431', 'headers-too-large'],
  ])('%s', async (_, bytes, status, code) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {}).end(bytes);
    const chunks = [];
    for await (const chunk of socket) chunks.push(chunk);
    const answer = Buffer.concat(chunks).toString();
    expect(answer).toMatch(
      new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*application/problem\\+json[\\s\\S]*"code":"${code}"`),
    );
  });
});

/** A request whose body is written as given and not ended. */
function send(headers: Record<string, string | number>, body: Uint8Array, to = url) {
  const { hostname, port } = new URL(to);
  const request = httpRequest({ hostname, port, path: '/classify', method: 'POST', headers });
  request.on('error', () => {});
  request.write(body);
  return request;
}
