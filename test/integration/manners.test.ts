import { once } from 'node:events';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KEY, makeKeyFile } from '../support/key-file.ts';
import { openRawConnection } from '../support/raw-connection.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

const ORIGIN = 'https://app.example:8443';
let system: Awaited<ReturnType<typeof startTinySystem>>;
let guarded: Awaited<ReturnType<typeof startTinySystem>>;
let keys: Awaited<ReturnType<typeof makeKeyFile>>;
let picture: Buffer;
beforeAll(async () => {
  keys = await makeKeyFile();
  system = await startTinySystem({ experts: null, env: { ASK_MAX_BODY_BYTES: '300000' } });
  const env = { ASK_API_KEYS_FILE: keys.path, ASK_CORS_ORIGINS: `${ORIGIN}/, capacitor://localhost` };
  guarded = await startTinySystem({ experts: null, env });
  picture = await flatPng(SURE_RED);
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  await guarded[Symbol.asyncDispose]();
  await keys[Symbol.asyncDispose]();
});

async function ask(path: string, init: RequestInit = {}, url = system.url) {
  const response = await fetch(`${url}${path}`, init);
  const text = await response.text();
  // biome-ignore lint/suspicious/noExplicitAny: answers and problems alike
  const body = response.headers.get('content-type')?.includes('json') && text !== '' ? (JSON.parse(text) as any) : {};
  return { status: response.status, headers: response.headers, body };
}

describe('HTTP methods: another one', () => {
  test.each([
    ...['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'QUERY'].map((method) => [
      method,
      '/classify',
      'POST',
    ]),
    ...['POST', 'PUT', 'OPTIONS', 'DELETE'].flatMap((method) => {
      return ['/', '/healthz', '/readyz', '/metrics', '/experts', '/openapi.json'].map((path) => [
        method,
        path,
        'GET, HEAD',
      ]);
    }),
  ] as [string, string, string][])('%s %s is refused with the allowed ones', async (method, path, allow) => {
    const { status, headers, body } = await ask(`${path}?topK=1`, { method });
    expect([status, headers.get('allow')]).toEqual([405, allow]);
    if (method !== 'HEAD') expect([body.code, body.status]).toEqual(['method-not-allowed', 405]);
  });

  test('is refused with a body of any kind, and before it has come', async () => {
    const headers = { 'content-type': 'nonsense', 'content-encoding': 'nonsense' };
    const { status, body } = await ask('/healthz', { method: 'POST', headers, body: Buffer.alloc(1_000_000) });
    expect([status, body.code]).toEqual([405, 'method-not-allowed']);
    expect((await ask('/nothing', { method: 'POST', headers, body: 'x' })).body.code).toBe('not-found');
  });

  test('answers HEAD with status and type of GET', async () => {
    for (const path of ['/', '/healthz', '/readyz', '/metrics', '/experts', '/openapi.json']) {
      const [head, get] = [await ask(path, { method: 'HEAD' }), await ask(path)];
      expect([head.status, head.headers.get('content-type')]).toEqual([200, get.headers.get('content-type')]);
    }
  });
});

describe('content codings', () => {
  const post = (body: Uint8Array, coding: string, type = 'image/png', path = '/classify') =>
    ask(path, {
      method: 'POST',
      headers: { 'content-encoding': coding, 'content-type': type },
      body: new Uint8Array(body),
    });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['identity', (bytes) => bytes],
    ['', (bytes) => bytes],
    ['gzip', (bytes) => gzipSync(bytes)],
    ['x-gzip', (bytes) => gzipSync(bytes)],
    ['GZIP', (bytes) => gzipSync(bytes)],
    ['deflate', (bytes) => deflateSync(bytes)],
    ['br', (bytes) => brotliCompressSync(bytes)],
    ['zstd', (bytes) => zstdCompressSync(bytes)],
    [' gzip ,identity', (bytes) => gzipSync(bytes)],
    ['identity, Deflate', (bytes) => deflateSync(bytes)],
  ])("'%s' is undone, by every door", async (coding, encode) => {
    const form = new Response(
      Object.entries({ image: new Blob([new Uint8Array(picture)]), topK: '2' }).reduce((data, [name, value]) => {
        data.append(name, value);
        return data;
      }, new FormData()),
    );
    const json = Buffer.from(JSON.stringify({ image: picture.toString('base64') }));
    for (const [body, type] of [
      [picture, 'image/png'],
      [json, 'application/json'],
      [Buffer.from(await form.arrayBuffer()), form.headers.get('content-type') as string],
    ] as const) {
      const answer = await post(encode(body), coding, type);
      expect([type, answer.status, answer.body.label]).toEqual([type, 200, 'red']);
    }
  });

  test.each([
    'compress',
    'aws-chunked',
    'utf-8',
    'base64',
    'gzip, exi',
    '*',
    'gzip;q=1',
    '__proto__',
    'gzip, gzip',
    'deflate, identity, br',
    'gzip, gzip, gzip, gzip',
  ])("'%s' is refused by name, with those of which one is undone", async (coding) => {
    const { status, headers, body } = await post(picture, coding);
    expect([status, body.code, headers.get('accept-encoding')]).toEqual([
      415,
      'unsupported-encoding',
      'gzip, deflate, br, zstd',
    ]);
    expect(body.detail).toContain(`'${coding}'`);
    expect(body.detail).toContain('send one of gzip, deflate, br, zstd, or the body as it is');
  });

  test.each<[string, () => Buffer, number, string]>([
    ['that is none', () => picture, 400, 'invalid-body'],
    ['that is cut off', () => gzipSync(picture).subarray(0, -9), 400, 'invalid-body'],
    [
      'that is damaged',
      () => Buffer.concat([gzipSync(picture).subarray(0, 30), Buffer.alloc(50, 255)]),
      400,
      'invalid-body',
    ],
    ['of nothing', () => gzipSync(''), 400, 'empty-body'],
    ['of too much', () => gzipSync(Buffer.concat([picture, Buffer.alloc(100_000_000)])), 413, 'payload-too-large'],
    [
      'of another picture',
      () => gzipSync(Buffer.concat([Buffer.from('GIF89a'), Buffer.alloc(100_000_000)])),
      415,
      'unsupported-media-type',
    ],
    ['of gzip', () => gzipSync(gzipSync(picture)), 400, 'not-an-image'],
  ])('gzip %s is refused with its code, and the connection serves on', async (_, make, status, code) => {
    const answer = await post(make(), 'gzip');
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await post(gzipSync(picture), 'gzip')).status).toBe(200);
  });
});

describe('CORS', () => {
  const preflight = (origin: string, path = '/classify', url = guarded.url) =>
    ask(
      path,
      {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'x-api-key, content-type',
        },
      },
      url,
    );

  test.each([ORIGIN, 'capacitor://localhost'])(
    'the named origin %s may send a preflight without a key',
    async (origin) => {
      const { status, headers } = await preflight(origin);
      expect(status).toBe(204);
      expect(headers.get('access-control-allow-origin')).toBe(origin);
      expect(headers.get('access-control-allow-methods')).toContain('POST');
      expect(headers.get('access-control-allow-headers')).toBe('x-api-key, content-type');
      expect(headers.get('access-control-allow-credentials')).toBe(null);
    },
  );

  test('a named origin may read answers and refusals', async () => {
    const send = (path: string, headers: Record<string, string>) =>
      ask(
        path,
        { method: 'POST', headers: { origin: ORIGIN, ...headers }, body: new Uint8Array(picture) },
        guarded.url,
      );
    for (const [path, headers, status] of [
      ['/classify', { 'x-api-key': KEY }, 200],
      ['/classify', {}, 401],
      ['/classify?topK=0', { 'x-api-key': KEY }, 422],
      ['/nothing', { 'x-api-key': KEY }, 404],
      ['/healthz', { 'x-api-key': KEY }, 405],
    ] as [string, Record<string, string>, number][]) {
      const answer = await send(path, headers);
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([status, ORIGIN]);
      expect(answer.headers.get('access-control-expose-headers')).toMatch(/retry-after.*allow.*traceparent/);
      expect(answer.headers.get('vary')).toMatch(/origin/i);
    }
  });

  test.each([
    'https://evil.example',
    'http://app.example:8443',
    'https://app.example',
    'null',
    `${ORIGIN}.evil.example`,
  ])('the origin %s, which is not named, is not allowed', async (origin) => {
    const { status, headers } = await preflight(origin);
    expect([status, headers.get('access-control-allow-origin')]).toEqual([401, null]);
    const answer = await ask('/healthz', { headers: { origin } }, guarded.url);
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });

  test('a named origin may read that its request came too slowly', async () => {
    const { socket, received } = openRawConnection(guarded.url);
    const head = `POST /classify?deadlineMs=100 HTTP/1.1\r\nhost: x\r\norigin: ${ORIGIN}\r\nx-api-key: ${KEY}`;
    socket.write(`${head}\r\ncontent-length: 1000\r\n\r\nx`);
    await once(socket, 'close');
    expect(received()).toMatch(/^HTTP\/1\.1 408/);
    expect(received()).toContain(`\r\naccess-control-allow-origin: ${ORIGIN}\r\n`);
  });

  test('without named origins no origin is allowed', async () => {
    const { status, headers } = await preflight(ORIGIN, '/classify', system.url);
    expect([status, headers.get('allow'), headers.get('access-control-allow-origin')]).toEqual([405, 'POST', null]);
  });
});

describe('parameters', () => {
  test.each<[string, RegExp]>([
    ['topK=1&topK=2', /topK/],
    ['threshold=0.5&threshold=0.5', /threshold/],
    ['deadlineMs=1&deadlineMs=2', /deadlineMs/],
    ['strategy=ask&strategy=edge', /strategy/],
    ['topk=3', /topk;(?=.* topK)(?=.* deadlineMs)(?=.* threshold)(?=.* strategy)/],
    ['top_k=3', /top_k.*topK/],
  ])('%s is refused with the values that are taken', async (query, detail) => {
    const { status, body } = await ask(`/classify?${query}`, { method: 'POST', body: new Uint8Array(picture) });
    expect([status, body.code, body.detail]).toEqual([422, 'invalid-parameter', expect.stringMatching(detail)]);
  });
});
