import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KEY, makeKeyFile, SLOW_KEY } from '../support/key-file.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

let file: Awaited<ReturnType<typeof makeKeyFile>>;
let system: Awaited<ReturnType<typeof startTinySystem>>;
let url: string;
beforeAll(async () => {
  file = await makeKeyFile();
  system = await startTinySystem({
    env: { ASK_API_KEYS_FILE: file.path, ASK_EDGE_QUEUE: '1', ASK_DEADLINE_MS: '60000' },
  });
  url = system.url;
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  await file[Symbol.asyncDispose]();
});

async function get(path: string, headers: Record<string, string> = {}, from = url) {
  const response = await fetch(`${from}${path}`, { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const post = async (headers: Record<string, string>) =>
  postImage(url, await flatPng(SURE_RED), '', 'image/png', headers);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe('keys: where they are required', () => {
  test.each(['/healthz', '/readyz', '/', '/console/main.js', '/console/style.css', '/openapi.json'])(
    '%s is open',
    async (path) => {
      expect((await get(path)).status).toBe(200);
    },
  );

  test.each(['/experts', '/metrics', '/classify', '/nothing', '/healthz/'])('%s is not', async (path) => {
    const missing = await get(path);
    expect([missing.status, missing.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(missing.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(JSON.parse(missing.text)).toMatchObject({ status: 401, code: 'missing-key' });
    const unknown = await get(path, bearer('ask_guessed'));
    expect([unknown.status, unknown.headers.get('www-authenticate')]).toEqual([403, null]);
    expect(JSON.parse(unknown.text)).toMatchObject({ status: 403, code: 'unknown-key' });
    const status = { '/experts': 200, '/metrics': 200, '/classify': 405 }[path] ?? 404;
    expect((await get(path, bearer(KEY))).status).toBe(status);
  });

  test.each<[string, Record<string, string>, number]>([
    ['Bearer', bearer(KEY), 200],
    ['bearer in small letters', { authorization: `bearer  ${KEY}` }, 200],
    ['x-api-key', { 'x-api-key': KEY }, 200],
    ['x-api-key behind a proxy with a login', { 'x-api-key': KEY, authorization: 'Basic eDp5' }, 200],
    ['no header', {}, 401],
    ['another scheme', { authorization: `Basic ${KEY}` }, 401],
    ['no scheme', { authorization: KEY }, 401],
    ['an empty key', { 'x-api-key': '' }, 401],
    ['an unknown key', { 'x-api-key': `${KEY}x` }, 403],
    ["a key's sha256", { 'x-api-key': createHash('sha256').update(KEY).digest('hex') }, 403],
    ["a holder's name", { 'x-api-key': 'camera' }, 403],
  ])('/classify with %s', async (_, headers, status) => {
    expect((await post(headers)).status).toBe(status);
  });

  test('a caller without a key is refused before the body, and displaces nobody who has one', async () => {
    const held = sendHead(bearer(KEY));
    const refused = Array.from({ length: 8 }, () => sendHead({}));
    expect(await Promise.all(refused.map(({ status }) => status))).toEqual(Array(8).fill(401));
    expect([(await post(bearer('ask_guessed'))).status, (await post(bearer(KEY))).status]).toEqual([403, 200]);
    const others = Array.from({ length: 4 }, () => sendHead(bearer(KEY)));
    expect(await held.status).toBe(408); // not before: it is the oldest of the five that may send
    for (const { destroy } of [held, ...refused, ...others]) destroy();
  });

  test('a key is refused beyond its limit, whatever it asks for; others are not', async () => {
    expect((await get('/experts', bearer(SLOW_KEY))).status).toBe(200);
    const { status, headers, body } = await post(bearer(SLOW_KEY));
    expect([status, body.code, body.detail]).toEqual([
      429,
      'rate-limited',
      "the key 'sensor' may be used 0.001 times a second",
    ]);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(100);
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(1000);
    expect((await post(bearer(KEY))).status).toBe(200);
    const { text } = await get('/metrics', bearer(KEY));
    expect(text).toContain('ask_keyed_requests_total{key="sensor",outcome="accepted"} 1\n');
    expect(text).toContain('ask_keyed_requests_total{key="sensor",outcome="rate-limited"} 1\n');
    expect(text).toMatch(/ask_keyed_requests_total\{key="camera",outcome="accepted"\} \d+\n/);
    expect(text).toMatch(/ask_errors_total\{code="missing-key"\} \d+\n/);
  });

  test('the description says so, address by address', async () => {
    const { components, security, paths } = JSON.parse((await get('/openapi.json')).text);
    expect(components.securitySchemes).toEqual({
      bearer: { type: 'http', scheme: 'bearer' },
      header: { type: 'apiKey', in: 'header', name: 'x-api-key' },
    });
    expect(security).toEqual([{ bearer: [] }, { header: [] }]);
    expect([paths['/healthz'].get.security, paths['/readyz'].get.security]).toEqual([[], []]);
    for (const operation of [paths['/classify'].post, paths['/experts'].get, paths['/metrics'].get]) {
      expect(operation.security).toBeUndefined();
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['200', '401', '403']));
    }
  });
});

test('keys: where none are required, one that comes does no harm, and the description asks for none', async () => {
  await using anyone = await startTinySystem({ experts: null });
  expect((await get('/experts', {}, anyone.url)).status).toBe(200);
  expect((await get('/experts', bearer('ask_x'), anyone.url)).status).toBe(200);
  const { security, components } = JSON.parse((await get('/openapi.json', {}, anyone.url)).text);
  expect([security, components?.securitySchemes]).toEqual([[], undefined]);
});

describe('security headers', () => {
  test('the page may run the scripts and the style of this server, and nothing else', async () => {
    const { headers, text } = await get('/');
    expect(headers.get('content-security-policy')?.split(';')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      'img-src blob:',
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    // What such a policy would switch off: script and style in the page, handlers in attributes, files from elsewhere.
    expect(text).not.toMatch(/ (style|on\w+)=|<style|<script[^>]*>[^<]|https?:/);
    const files = [...text.matchAll(/ (?:href|src)="(console\/[^"]+)"/g)].map(([, path]) => path as string);
    expect(files).toEqual(['console/style.css', 'console/results.css', 'console/main.js']);
    const types = await Promise.all(files.map(async (path) => (await get(`/${path}`)).headers.get('content-type')));
    expect(types).toEqual(['text/css', 'text/css', 'text/javascript'].map((type) => `${type}; charset=utf-8`));
  });

  test.each<[string, () => Promise<{ headers: Headers }>]>([
    ['an answer', () => post(bearer(KEY))],
    ['a refusal', () => post({})],
    ['a problem', () => get('/nothing', bearer(KEY))],
    ['metrics', () => get('/metrics', bearer(KEY))],
  ])('%s has them too, and does not force HTTPS', async (_, ask) => {
    const { headers } = await ask();
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('strict-transport-security')).toBeNull();
  });
});

/** A request for `/classify` whose body never comes. */
function sendHead(headers: Record<string, string>) {
  const { hostname, port } = new URL(url);
  const all = { ...headers, 'content-type': 'image/png', 'content-length': '100000' };
  const request = httpRequest({ hostname, port, path: '/classify', method: 'POST', headers: all });
  request.on('error', () => {});
  request.flushHeaders();
  const status = new Promise<number | undefined>((resolve) => request.on('response', (r) => resolve(r.statusCode)));
  return { status, destroy: () => request.destroy() };
}
