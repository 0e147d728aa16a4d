import { expect, test } from 'vitest';
import type { BusHeaders } from '../../shared/bus/bus.ts';
import { classifySubject } from '../../shared/wire/expert-protocol.ts';
import { logitsReply } from '../support/protocol.ts';
import { postImage } from '../support/service.ts';
import { buses, startTinySystem } from '../support/system.ts';
import { flatPng, UNSURE_WARM } from '../support/tiny-bundle.ts';

const [, openNats] = buses.find(([name]) => name === 'NATS') as (typeof buses)[number];
const ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const picture = await flatPng(UNSURE_WARM);

/** An edge without any OTEL setting, and what it sends to an expert. */
async function ask(headers: Record<string, string>) {
  const env = { ASK_CACHE_BYTES: '0' };
  await using system = await startTinySystem({ open: openNats, experts: null, env });
  const { warm } = system.bundle.manifest.models;
  let sent: BusHeaders = {};
  system.answerer.subscribe(classifySubject('warm'), (message) => {
    sent = message.headers;
    const modelDigest = warm?.sha256 as string;
    const reply = logitsReply(Float32Array.of(0, 0, 0, 9), modelDigest);
    message.respond(reply.payload, reply.headers);
  });
  await system.settled();
  const { body } = await postImage(system.url, picture, '', 'image/png', headers);
  expect(body.route).toBe('expert');
  return { traceId: body.traceId as string, id: body.id as string, sent };
}

test.each([
  ['sampled', `00-${ID}-${PARENT}-01`, `00-${ID}-${PARENT}-01`],
  ['not sampled', `00-${ID}-${PARENT}-00`, `00-${ID}-${PARENT}-00`],
  ['with flags that nobody knows', `00-${ID}-${PARENT}-ff`, `00-${ID}-${PARENT}-03`],
  ['of a later version', `cc-${ID}-${PARENT}-01-what`, `00-${ID}-${PARENT}-01`],
])('trace: a caller’s, %s, is answered and carried on where nothing is traced', async (_, traceparent, forwarded) => {
  const { traceId, sent } = await ask({ traceparent, tracestate: 'a=1,b=2' });
  expect(traceId).toBe(ID);
  expect([sent.traceparent, sent.tracestate]).toEqual([forwarded, 'a=1,b=2']);
});

test.each([
  ['none', {}],
  ['nonsense', { traceparent: 'nonsense' }],
  ['of zeros', { traceparent: `00-${'0'.repeat(32)}-${PARENT}-01` }],
  ['with a parent of zeros', { traceparent: `00-${ID}-${'0'.repeat(16)}-01` }],
  ['in capitals', { traceparent: `00-${ID.toUpperCase()}-${PARENT}-01` }],
  ['too long', { traceparent: `00-${ID}-${PARENT}-01-more` }],
  ['of a version that cannot be', { traceparent: `ff-${ID}-${PARENT}-01` }],
  ['a state without a parent', { tracestate: 'a=1' }],
])('trace: where the caller sends %s, the answer’s own is carried on', async (_, headers) => {
  const { traceId, id, sent } = await ask(headers);
  expect(traceId).toBe(id.replaceAll('-', ''));
  expect(sent.traceparent).toMatch(new RegExp(`^00-${traceId}-(?!0{16})[0-9a-f]{16}-00$`));
  expect(sent.tracestate).toBeUndefined();
});

test('trace: of a malformed state only what is sound is carried on', async () => {
  const { sent } = await ask({ traceparent: `00-${ID}-${PARENT}-01`, tracestate: 'a=1, =,b=\t,c' });
  expect(sent.tracestate).toBe('a=1');
});
