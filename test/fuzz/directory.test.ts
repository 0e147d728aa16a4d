import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SERVICE_NAME } from '../../shared/wire/expert-protocol.ts';
import { fuzz } from '../support/fuzz/cases.ts';
import { connectRawNats, type RawNats } from '../support/fuzz/raw-nats.ts';
import { DEADLINE_MS, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';

/** Introductions by experts that are none: whoever asks the edge for its experts gets the list all the same. */
let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
let nats: RawNats;
const saying = new Set<PingCase>();
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false });
  nats = await connectRawNats(system.nats.url);
  nats.subscribe(`$SRV.PING.${SERVICE_NAME}`, ({ reply }) => {
    for (const { headers, text } of saying) nats.publish(reply, '', headers, Buffer.from(text, 'latin1'));
  });
  await nats.flush();
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
  await system[Symbol.asyncDispose]();
});

interface PingCase {
  headers: string;
  text: string;
}

const proper = { id: 'a', metadata: { expert: 'warm', digest: 'd' } };
const pingCase: fc.Arbitrary<PingCase> = fc.record({
  headers: fc.constantFrom('', '', 'NATS/1.0\r\n\r\n', 'NATS/1.0 503\r\n\r\n', 'NATS/1.0\r\nbad name: x\r\n\r\n', '\0'),
  text: fc.oneof(
    fc.constantFrom(
      ...[
        '',
        '{',
        'null',
        '[]',
        '{"id":1}',
        '{"__proto__":{"id":"x"}}',
        '\xff\xfe',
        '['.repeat(50_000),
        '"'.repeat(900_000),
      ],
      ...[JSON.stringify(proper), JSON.stringify({ ...proper, metadata: { expert: '__proto__', digest: '' } })],
      ...[
        JSON.stringify({ ...proper, id: 'x'.repeat(500_000) }),
        `{"id":"a","metadata":{"expert":"<script>","digest":"\0"}}`,
      ],
    ),
    fc.json(),
    fc.string({ unit: 'binary' }),
  ),
});

async function look(path: string) {
  const response = await fetch(system.url + path, { signal: AbortSignal.timeout(DEADLINE_MS + SLACK_MS) });
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

test('fuzz directory: a proper introduction is heard among malformed ones', async () => {
  const text = JSON.stringify(proper);
  for (const one of [
    { headers: 'NATS/1.0\r\nbad name: x\r\n\r\n', text: '' },
    { headers: '', text },
  ])
    saying.add(one);
  const experts = (await look('/experts')) as { id: string; instances: object[] }[];
  expect(experts.map(({ id, instances }) => [id, instances.length])).toEqual([
    ['warm', 1],
    ['cold', 0],
  ]);
  saying.clear();
});

fuzz(
  'whatever introduces itself as an expert, the list of experts is there',
  'directory',
  pingCase,
  () => system.watched,
  async (one) => {
    saying.add(one);
    await Promise.all([look('/experts'), look('/readyz')]).finally(() => saying.delete(one));
  },
);
