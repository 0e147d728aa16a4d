import fc from 'fast-check';

const odd = fc.constantFrom(
  '',
  '-0',
  '-1',
  'NaN',
  'Infinity',
  '-Infinity',
  '1e3',
  '1e400',
  '0x10',
  '5.0',
  '+5',
  '%205',
  '5%0a',
  '5%00',
  '%ZZ',
  '%',
  'null',
  'true',
  '[]',
  '{}',
  '%EF%BC%95',
  '%ff%fe',
  '\xff',
  "'",
  '<script>',
  '../../etc/passwd',
  '__proto__',
  'ask,edge',
  '9'.repeat(500),
  `0.${'9'.repeat(5000)}`,
  '1'.repeat(9000),
  `1.${'1.'.repeat(4000)}`,
  '9007199254740993',
  '4294967301',
);
const name = fc.constantFrom(
  ...['topK', 'deadlineMs', 'threshold', 'strategy', 'explain', 'topK', 'threshold', 'strategy'],
  '__proto__',
  'constructor',
  'toString',
  'topK[]',
  'topK[__proto__]',
  'topK.a',
  'TOPK',
  '',
  '%00',
  'a'.repeat(9000),
);
const known = fc.constantFrom(
  'topK=3',
  'topK=1000',
  'threshold=0',
  'threshold=1.0',
  'strategy=edge',
  'explain=true',
  'strategy=expert',
);
const parameter = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(name, odd).map(([key, value]) => `${key}=${value}`) },
  { weight: 2, arbitrary: known },
  name,
);
const query = fc.tuple(fc.array(parameter, { maxLength: 4 }), fc.constantFrom('&', '&', '&', ';', '&&', '?', '#'));

const path = fc.oneof(
  { weight: 8, arbitrary: fc.constant('/classify') },
  fc.constantFrom(
    '/',
    '//',
    '/classify/',
    '//classify',
    '/classify/../classify',
    '/./classify',
    '/CLASSIFY',
    '/classify%2f',
    '/%63lassify',
    '/classify%00',
    '/classify;a=b',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/..%5c',
    '/%',
    '/%ff',
    '/\xff',
    '*',
    'x',
    'http://x/classify',
    '/healthz',
    '/metrics',
    '/openapi.json',
    '/__proto__',
    '/constructor',
    `/${'a/'.repeat(4000)}`,
    `/${'%41'.repeat(4000)}`,
  ),
);
const method = fc.oneof(
  { weight: 8, arbitrary: fc.constant('POST') },
  fc.constantFrom(
    'GET',
    'PUT',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'PATCH',
    'PROPFIND',
    'PURGE',
    'QUERY',
    'post',
    'XYZ',
    'A'.repeat(99),
  ),
);
/** What may be wrong with the headers that carry a trace. */
export const traced: [string, string][] = [
  ['traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`],
  ['traceparent', `ff-${'0'.repeat(32)}-${'0'.repeat(16)}-ff-${'-'.repeat(9000)}`],
  ['traceparent', `00-${'a'.repeat(9000)}`],
  ['traceparent', `${' '.repeat(9000)}x`],
  ['tracestate', '\xff=\xfe'],
  ['tracestate', `${'a=b,'.repeat(2000)}`],
  ['tracestate', `${'a'.repeat(9000)}=b`],
  ['baggage', 'a=%0d%0aNATS/1.0%0d%0ab:c'],
  ['baggage', `${'a=b;'.repeat(2000)}`],
  ['baggage', `${'%'.repeat(4000)}=%E0%A4%A,__proto__=1`],
];
const header = fc.oneof(
  fc.constantFrom(...traced),
  fc.constantFrom<[string, string]>(
    ['x-injected', 'a\r\ncontent-length: 3'],
    ['expect', '100-continue'],
    ['expect', 'miracles'],
    ...['gzip', 'deflate', 'br', 'zstd', 'gzip, br', ',,', '\xff', 'gzip,'.repeat(2000)].map(
      (coding): [string, string] => {
        return ['content-encoding', coding];
      },
    ),
    ['content-type', 'multipart/form-data; boundary=x'],
    ['content-type', 'application/json'],
    ['origin', 'null'],
    ['access-control-request-method', 'POST'],
    ['content-encoding', 'x'.repeat(5000)],
    ['content-type', 'text/html'],
    ['content-type', 'image/png\0'],
    ['accept', `${'a/b;q=0.1,'.repeat(1000)}`],
    ['connection', 'upgrade'],
    ['upgrade', 'h2c'],
    ['host', 'other'],
    ['__proto__', 'x'],
    ['constructor', 'x'],
    ['range', 'bytes=0-,0-,0-'],
    ['if-none-match', '*'],
    ['cookie', `${'a=b; '.repeat(2000)}`],
    ['x-forwarded-for', '\x80\xff'],
    ['x', 'y'.repeat(20_000)],
    ['a b', 'c'],
    ['', 'c'],
  ),
  fc.tuple(fc.constant('x-many'), fc.constantFrom('1', '2')),
);

export interface RequestCase {
  method: string;
  /** Address and parameters. */
  target: string;
  headers: [name: string, value: string][];
}

export const requestCase: fc.Arbitrary<RequestCase> = fc.record({
  method,
  target: fc.tuple(path, query).map(([address, [parameters, separator]]) => `${address}?${parameters.join(separator)}`),
  headers: fc.oneof(
    { weight: 9, arbitrary: fc.array(header, { maxLength: 3 }) },
    fc
      .tuple(header, fc.integer({ min: 50, max: 3000 }))
      .map(([one, times]) => Array.from({ length: times }, () => one)),
  ),
});
