import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from '../support/fuzz/cases.ts';
import { exchange, toRequest } from '../support/fuzz/raw-http.ts';
import { DEADLINE_MS, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

const picture = (await flatPng(SURE_RED)).toString('latin1');
const base64 = Buffer.from(picture, 'latin1').toString('base64');

let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false });
});
afterAll(() => system[Symbol.asyncDispose]());

/** A form as text of one byte a character. */
interface FormCase {
  boundary: string;
  contentType: string;
  newline: string;
  preamble: string;
  parts: { headers: string[]; body: string }[];
  ending: string;
  /** So many bytes are missing at the end. */
  missing: number;
}

const name = fc.constantFrom(
  ...[
    'image',
    'image',
    'image',
    'file',
    'topK',
    'threshold',
    'strategy',
    '',
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'image[]',
    'image\0',
    'a'.repeat(5000),
  ],
);
const filename = fc.constantFrom(
  ...[
    'x.png',
    '',
    '../../../../etc/passwd',
    '..\\..\\boot.ini',
    '/dev/stdin',
    'a\0b.png',
    'CON',
    '%2e%2e%2f',
    '"',
    ';',
  ],
  ...['\xff\xfe', "x.png; filename*=UTF-8''%00%ff", 'a'.repeat(10_000)],
);
const disposition = fc
  .tuple(fc.constantFrom('form-data', 'form-data', 'attachment', 'form-data;;', ''), name, fc.option(filename))
  .map(([kind, field, file]) => {
    const ending = file === null ? '' : `; filename="${file}"`;
    return `Content-Disposition: ${kind}; name="${field}"${ending}`;
  });
const otherHeader = fc.constantFrom(
  ...[
    'Content-Type: image/png',
    'content-type: multipart/mixed; boundary=y',
    'Content-Type: text/plain; charset=utf-7',
  ],
  ...[
    'Content-Transfer-Encoding: base64',
    'Content-Transfer-Encoding: quoted-printable',
    'X: \xff\0',
    ': empty',
    'none',
  ],
  ...['Content-Disposition: form-data; name=image; name=other', ' folded', 'Content-Length: -1', '__proto__: x'],
  ...[`X-Long: ${'a'.repeat(100_000)}`, Array.from({ length: 3000 }, (_, i) => `X-${i}: y`).join('\r\n')],
);
const headers = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: disposition }, fc.constant('')),
    fc.array(otherHeader, { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([own, others, last]) => (last ? [...others, own] : [own, ...others]).filter(Boolean));
const body = fc.oneof(
  fc.constant(picture),
  fc.constantFrom(
    '3',
    '0.5',
    'edge',
    '-1',
    base64,
    `data:image/png;name=x;base64,${base64}`,
    base64.replace(/.{64}/g, '$&\n'),
  ),
  fc.constantFrom('', '\r\n', '\r\n--', '--x', '--x--\r\n', 'a'.repeat(300_000), picture.repeat(50)),
  fc.constant(`--y\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n${picture}\r\n--y--\r\n`),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);
const part = fc.record({ headers, body });
const boundary = fc.constantFrom(
  'x',
  'x',
  'x',
  '-',
  '--',
  'x--',
  'a'.repeat(70),
  'a'.repeat(5000),
  '(+?.*)',
  ' ',
  '\xff',
  '"',
);
const formCase: fc.Arbitrary<FormCase> = fc
  .record({
    boundary,
    contentType: fc.oneof(
      { weight: 6, arbitrary: fc.constant('multipart/form-data; boundary=BOUNDARY') },
      fc.constantFrom(
        ...['multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary="BOUNDARY"'],
        ...['multipart/form-data; boundary=x; boundary=BOUNDARY', 'multipart/mixed; boundary=BOUNDARY'],
        ...[
          'multipart/form-data; charset=utf-16; boundary=BOUNDARY',
          'Multipart/Form-Data;boundary=BOUNDARY',
          'multipart/',
        ],
        ...[
          "multipart/form-data; boundary*=UTF-8''BOUNDARY",
          'multipart/form-data; boundary=\\',
          `multipart/form-data;${' '.repeat(9000)}boundary=x`,
        ],
      ),
    ),
    newline: fc.oneof({ weight: 9, arbitrary: fc.constant('\r\n') }, fc.constantFrom('\n', '\r', '\r\r\n', '')),
    preamble: fc.constantFrom('', '', 'preamble\r\n', '\r\n', '-'.repeat(50_000)),
    parts: fc.oneof(
      { weight: 6, arbitrary: fc.array(part, { maxLength: 3 }) },
      fc.tuple(part, fc.integer({ min: 4, max: 500 })).map(([one, times]) => {
        return Array.from({ length: times }, () => ({ headers: one.headers, body: one.body.slice(0, 100) }));
      }),
    ),
    ending: fc.constantFrom('--B--\r\n', '--B--\r\n', '--B--', '--B', '', '--B--\r\n--B--\r\n', '--B--epilogue'),
    missing: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(1, 40)),
  })
  .map((one) => ({ ...one, contentType: one.contentType.replace('BOUNDARY', one.boundary) }));

function toBytes({ boundary, contentType, newline, preamble, parts, ending, missing }: FormCase): Buffer {
  const texts = parts.map((one) => {
    return `--${boundary}${newline}${one.headers.join(newline)}${newline}${newline}${one.body}${newline}`;
  });
  const form = preamble + texts.join('') + ending.replaceAll('B', boundary);
  const start = `POST /classify?strategy=edge&deadlineMs=${DEADLINE_MS}`;
  return toRequest(start, [['content-type', contentType]], form.slice(0, Math.max(0, form.length - missing)));
}

test('fuzz forms: a proper form is answered', async () => {
  const parts = [{ headers: ['Content-Disposition: form-data; name="image"; filename="../x"'], body: picture }];
  const rest = { newline: '\r\n', preamble: '', ending: '--B--\r\n', missing: 0 };
  const form = { boundary: 'x', contentType: 'multipart/form-data; boundary=x', parts, ...rest };
  const { answers } = await exchange(system.url, toBytes(form), SLACK_MS);
  expect(answers.map(({ status }) => status)).toEqual([200]);
});

fuzz(
  'whatever form comes is answered, or refused with a code',
  'forms',
  formCase,
  () => system.watched,
  async (one) => {
    const { answers } = await exchange(system.url, toBytes(one), DEADLINE_MS + SLACK_MS);
    if (answers.length !== 1) throw new Error(`${answers.length} answers`);
    for (const answer of answers) requireProper(answer);
  },
);
