import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from '../support/fuzz/cases.ts';
import { exchange } from '../support/fuzz/raw-http.ts';
import { DEADLINE_MS, requireProper, startFuzzedSystem } from '../support/fuzz/system.ts';

/**
 * Two readings of one stream: where the first request ends is ambiguous, and what may be its body holds another one.
 * It must be refused with the connection closed, or all of it be taken for one request.
 */
let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false });
});
afterAll(() => system[Symbol.asyncDispose]());

const SECRET = 'smuggled-request';
const inner = `GET /${SECRET} HTTP/1.1\r\nhost: x\r\n\r\n`;

/** Headers that leave open where the body ends. LENGTH is that of everything after the headers. */
const ambiguous = fc.constantFrom(
  ...['content-length: LENGTH\r\ntransfer-encoding: chunked', 'transfer-encoding: chunked\r\ncontent-length: LENGTH'],
  ...['content-length: 5\r\ntransfer-encoding: chunked', 'content-length: 0\r\ncontent-length: LENGTH'],
  ...['content-length: LENGTH\r\ncontent-length: 5', 'content-length: LENGTH, 5', 'content-length: 5, 5'],
  ...[
    'content-length: +5',
    'content-length: -5',
    'content-length: 0x5',
    'content-length: 5 5',
    'content-length: 5\x0b',
  ],
  ...[
    'content-length: 5;LENGTH',
    'content-length: \xa05',
    'content-length: 18446744073709551621',
    'content-length: 5e0',
  ],
  ...['content-length : 5', 'content-length\r\n : 5', 'content-length:\r\n 5', 'x: y\r\n content-length: 5'],
  ...['transfer-encoding: xchunked', 'transfer-encoding: chunked, identity', 'transfer-encoding: identity'],
  ...['transfer-encoding: chunked;q=1', 'transfer-encoding: "chunked"', 'transfer-encoding: chunked\x0b'],
  ...['transfer-encoding:\r\n chunked', 'transfer-encoding : chunked', 'transfer-encoding: chunked\r\nx\0: y'],
  ...[
    'transfer-encoding: chunked\r\ntransfer-encoding: cow',
    'transfer-encoding: chunk\xe9d',
    'x: y\ntransfer-encoding: chunked',
  ],
  ...['x: y\rtransfer-encoding: chunked', 'transfer-encoding: chunked\r\n\tfolded: x'],
);

/** Bodies in chunks whose sizes or ends are wrong, before what they hide. */
const chunks = fc.constantFrom(
  ...['FFFFFFFFFFFFFFFF0\r\n', '10000000000000001\r\nx\r\n0\r\n\r\n', '-1\r\nx\r\n0\r\n\r\n', '0x1\r\nx\r\n0\r\n\r\n'],
  ...[
    '+1\r\nx\r\n0\r\n\r\n',
    '1 1\r\nx\r\n0\r\n\r\n',
    '1\nx\n0\n\n',
    '1\rx\r0\r\r',
    '1\r\nxx\r\n0\r\n\r\n',
    '1\r\nx0\r\n\r\n',
  ],
  ...[
    '1;a\nx\r\n0\r\n\r\n',
    '1;a="\r\n0\r\n\r\n"\r\nx\r\n',
    '1;\0\r\nx\r\n0\r\n\r\n',
    '\r\n0\r\n\r\n',
    'g\r\nx\r\n0\r\n\r\n',
    '0\n\n',
  ],
  ...[
    '0\r\n\n',
    '0;a\n\r\n',
    '0\r\ncontent-length: 5\r\n\r\n',
    '0\r\nx: y\n\n',
    '0\r\n x: y\r\n\r\n',
    `1;${'a'.repeat(20_000)}\r\nx\r\n0\r\n\r\n`,
  ],
);

interface SmugglingCase {
  start: string;
  headers: string;
  before: string;
  type: string;
}

const start = fc.constantFrom(
  'POST /classify HTTP/1.1',
  'POST /classify HTTP/1.0',
  'GET /healthz HTTP/1.1',
  'POST / HTTP/1.1',
);
const type = fc.constantFrom('image/png', 'application/json', 'multipart/form-data; boundary=x', 'none');
const smugglingCase: fc.Arbitrary<SmugglingCase> = fc.oneof(
  fc.record({
    start,
    headers: ambiguous,
    before: fc.constantFrom('0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n', 'hello', ''),
    type,
  }),
  fc.record({ start, headers: fc.constant('transfer-encoding: chunked'), before: chunks, type }),
);

function toBytes({ start, headers, before, type }: SmugglingCase): Buffer {
  const body = before + inner;
  const length = headers.replaceAll('LENGTH', String(body.length));
  return Buffer.from(`${start}\r\nhost: x\r\ncontent-type: ${type}\r\n${length}\r\n\r\n${body}`, 'latin1');
}

test('fuzz smuggling: two separate requests are both answered, so that a smuggled one would be noticed', async () => {
  const first = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 5\r\n\r\nhello';
  const { answers, received } = await exchange(system.url, Buffer.from(first + inner), DEADLINE_MS, 2);
  expect(answers.map(({ status }) => status)).toEqual([400, 404]);
  expect(received).toContain(SECRET);
});

fuzz(
  'a request within a request is never answered',
  'smuggling',
  smugglingCase,
  () => system.watched,
  async (one) => {
    // Until the server closes the connection; one that stays open is an error.
    const { answers, received } = await exchange(system.url, toBytes(one), DEADLINE_MS, Number.POSITIVE_INFINITY);
    if (received.includes(SECRET)) throw new Error(`the hidden request was answered: ${received}`);
    if (answers.length > 1) throw new Error(`${answers.length} answers: ${received}`);
    const alive = answers[0]?.status === 200 && one.start.includes('healthz'); // said before its body was read
    for (const answer of alive ? [] : answers) requireProper(answer);
  },
);
