import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fuzz } from '../support/fuzz/cases.ts';
import { exchange, toRequest } from '../support/fuzz/raw-http.ts';
import { DEADLINE_MS, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

const picture = (await flatPng(SURE_RED)).toString('base64');

let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false });
});
afterAll(() => system[Symbol.asyncDispose]());

const value = fc.oneof(
  { weight: 3, arbitrary: fc.constant(JSON.stringify(picture)) },
  fc.constantFrom(
    ...[
      'null',
      'true',
      '-0',
      '1e999',
      `${'9'.repeat(400)}`,
      '[]',
      '{}',
      '""',
      '"\\ud800"',
      '"\\u0000"',
      '"=="',
      '"===="',
    ],
    ...[`"${'A'.repeat(400_000)}%"`, `"${'='.repeat(400_000)}"`, `"${'\\u0041'.repeat(4)}"`, `"${' '.repeat(4)}"`],
    ...[`"${picture.replace('=', '-')}"`, `"${picture}\\n"`, `"${picture.slice(0, -1)}"`, `["${picture}"]`],
    ...[
      `"${picture.replace(/.{76}/g, '$&\\r\\n')}"`,
      `"data:;;base64,,${picture}"`,
      `"data:${';base64'.repeat(50_000)},${picture}"`,
    ],
    ...[
      `"${'\\n'.repeat(200_000)}"`,
      `"${'%2B'.repeat(100_000)}"`,
      `"data:,${'%2B'.repeat(100_000)}"`,
      `"${'-_'.repeat(200_000)}"`,
    ],
    ...[`{"toString":"${picture}","length":4}`, '{"__proto__":{"image":"AAAA"}}', `"data:image/png;base64,${picture}"`],
    ...[
      '['.repeat(50_000),
      '{"a":'.repeat(50_000),
      `${'['.repeat(9000)}${']'.repeat(9000)}`,
      'NaN',
      'undefined',
      "'a'",
    ],
  ),
  fc.json(),
);
const key = fc.oneof(
  { weight: 4, arbitrary: fc.constant('image') },
  fc.constantFrom('topK', 'threshold', 'deadlineMs', 'strategy', 'file'),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'image\\u0000', '\\u005f_proto__', 'IMAGE', ''),
);
const member = fc.tuple(key, value).map(([name, content]) => `"${name}":${content}`);
const pollution = fc.constantFrom(
  ...['{"__proto__":{"isAdmin":true,"label":"blue"}}', '{"constructor":{"prototype":{"label":"blue"}}}'],
  ...[
    `{"image":"${picture}","__proto__":{"topK":0}}`,
    `{"image":"${picture}","constructor":{"prototype":{"status":500}}}`,
  ],
  ...['{"\\u005f\\u005fproto\\u005f\\u005f":{"x":1}}', `{"__proto__":null,"image":"${picture}"}`],
  ...[`{"a":{"b":{"__proto__":{"x":1}}},"image":"${picture}"}`, `{"__proto__"${' '.repeat(100_000)}:1}`],
  ...['"__proto__"'.repeat(20_000), `{${'"__proto__" '.repeat(20_000)}`],
);
const text = fc.oneof(
  { weight: 5, arbitrary: fc.array(member, { maxLength: 4 }).map((members) => `{${members.join(',')}}`) },
  { weight: 3, arbitrary: pollution },
  value,
  fc.string({ unit: 'binary' }),
);
const jsonCase = fc.record({
  text,
  type: fc.oneof(
    { weight: 6, arbitrary: fc.constant('application/json') },
    fc.constantFrom(
      ...['application/json; charset=utf-16', 'application/json;charset=', 'Application/JSON', 'application/json;;;'],
      ...[
        'application/problem+json',
        'text/json',
        'application/json, image/png',
        'application/jsonx',
        '*/*',
        ';',
        'image/',
      ],
      ...[`application/json;${' '.repeat(9000)}`, `application/json; a="${'\\'.repeat(9000)}`, 'application/\xff'],
    ),
  ),
  encoding: fc.constantFrom('utf8' as const, 'utf8', 'utf8', 'latin1', 'utf16le'),
  prefix: fc.constantFrom('', '', '', '\ufeff', ' \n\t', '\0', ")]}'\n"),
  missing: fc.constantFrom(0, 0, 0, 0, 1, 9),
});

async function send({
  text,
  type,
  encoding,
  prefix,
  missing,
}: typeof jsonCase extends fc.Arbitrary<infer T> ? T : never) {
  const bytes = Buffer.from(prefix + text, encoding);
  const start = `POST /classify?strategy=edge&deadlineMs=${DEADLINE_MS}`;
  const request = toRequest(start, [['content-type', type]], bytes.subarray(0, Math.max(0, bytes.length - missing)));
  const { answers } = await exchange(system.url, request, DEADLINE_MS + SLACK_MS);
  if (answers.length !== 1) throw new Error(`${answers.length} answers`);
  return answers[0] as (typeof answers)[number];
}

const plain = { type: 'application/json', encoding: 'utf8', prefix: '', missing: 0 } as const;

test('fuzz JSON: a proper document is answered, one that would change prototypes is refused', async () => {
  expect((await send({ ...plain, text: `{"image":"${picture}"}` })).status).toBe(200);
  for (const polluted of ['"__proto__":{"topK":0}', '"constructor":{"prototype":{"topK":0}}']) {
    expect(requireProper(await send({ ...plain, text: `{"image":"${picture}",${polluted}}` }))).toBe('invalid-body');
  }
});

fuzz(
  'whatever JSON comes is answered, or refused with a code',
  'json',
  jsonCase,
  () => system.watched,
  async (one) => void requireProper(await send(one)),
);
