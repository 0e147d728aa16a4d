import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange } from '../support/fuzz/raw-http.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const LIMIT_MS = 20_000;

async function startSlowSystem() {
  const rows = [9, 0, 0, 0].map((bias): [number, number, number, number] => [0, 0, 0, bias]);
  const models = { generalist: { rows, attention: true, work: 300 } };
  return startTinySystem({ models, env: { ASK_CACHE_BYTES: '0' } });
}

let system: Awaited<ReturnType<typeof startSlowSystem>>;
let good: Buffer;
beforeAll(async () => {
  system = await startSlowSystem();
  good = post(await flatPng(SURE_RED));
});
afterAll(() => system[Symbol.asyncDispose]());

function post(body: Buffer, query = '', length = body.length): Buffer {
  const head = `host: x\r\ncontent-type: image/png\r\ncontent-length: ${length}`;
  return Buffer.concat([Buffer.from(`POST /classify${query} HTTP/1.1\r\n${head}\r\n\r\n`), body]);
}

/** Counted errors by code; those of the requests for metrics themselves cannot occur. */
async function errors(url = system.url): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.matchAll(/^ask_errors_total\{code="([^"]+)"\} ([1-9]\d*)$/gm);
  return Object.fromEntries([...lines].map(([, code, count]) => [code, Number(count)]));
}

/** What the server says to these bytes until it closes the connection, and which errors it counts more. */
async function say(bytes: Buffer) {
  const before = await errors();
  const { answers } = await exchange(system.url, bytes, LIMIT_MS, Number.POSITIVE_INFINITY);
  const after = await errors();
  const counted = Object.keys(after).filter((code) => after[code] !== before[code]);
  return { statuses: answers.map(({ status }) => status), counted };
}

describe('pipelining: a request gets its own answer, whatever follows it', () => {
  const chunked = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n';

  test.each<[string, () => Buffer, number, string]>([
    ['bytes that are no request', () => Buffer.from('GARBAGE\r\n\r\n'), 400, 'bad-request'],
    ['a byte too many', () => Buffer.from('x'), 400, 'bad-request'],
    ['a request with a broken body', () => Buffer.from(`${chunked}no chunk`), 400, 'bad-request'],
  ])('%s', async (_, make, status, code) => {
    const said = await say(Buffer.concat([good, make()]));
    expect(said).toEqual({ statuses: [200, status], counted: [code] });
  });

  test('a request that stalls', async () => {
    // One that has not learnt yet how long an answer takes, and so does not refuse the second request for its deadline.
    await using fresh = await startSlowSystem();
    const stalled = post(Buffer.from('x'), '?deadlineMs=20', 1000);
    const bytes = Buffer.concat([good, stalled]);
    const { answers } = await exchange(fresh.url, bytes, LIMIT_MS, Number.POSITIVE_INFINITY);
    expect(answers.map(({ status }) => status)).toEqual([200, 408]);
    expect(await errors(fresh.url)).toEqual({ 'request-timeout': 1 });
  });

  test('several requests and then none', async () => {
    const said = await say(Buffer.concat([good, good, Buffer.from('GARBAGE\r\n\r\n')]));
    expect(said.statuses).toEqual([200, 200, 400]);
  });
});

describe('pipelining: requests that the parser refuses are counted', () => {
  const headers = 'x'.repeat(20_000);
  test.each<[string, string, number, string]>([
    ['no HTTP', 'hello\r\n\r\n', 400, 'bad-request'],
    ['huge headers', `GET / HTTP/1.1\r\nx: ${headers}\r\n\r\n`, 431, 'headers-too-large'],
  ])('%s', async (_, bytes, status, code) => {
    expect(await say(Buffer.from(bytes))).toEqual({ statuses: [status], counted: [code] });
  });

  test('a caller that leaves in the middle of the headers', async () => {
    const before = await errors();
    const { hostname, port } = new URL(system.url);
    connect(Number(port), hostname)
      .on('error', () => {})
      .end('GET / HTT');
    const gone = async () => (await errors())['client-closed'] ?? 0;
    await waitFor(async () => (await gone()) > (before['client-closed'] ?? 0), 'the count');
    expect({ ...(await errors()), 'client-closed': 0 }).toEqual({ ...before, 'client-closed': 0 });
  });
});
