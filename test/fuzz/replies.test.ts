import { afterAll, beforeAll, expect, test } from 'vitest';
import { classifySubject, EXPERT_QUEUE } from '../../shared/wire/expert-protocol.ts';
import { fuzz } from '../support/fuzz/cases.ts';
import { connectRawNats, type RawMessage, type RawNats } from '../support/fuzz/raw-nats.ts';
import {
  maybeStray,
  proper,
  type ReplyCase,
  replyCase,
  SHORT_MS,
  STRAY_MS,
  TOO_LATE_MS,
  withLine,
} from '../support/fuzz/reply-cases.ts';
import { DEADLINE_MS, requireProper, SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { flatPng, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

/** Replies to the edge from an expert that is none. */
const picture = await flatPng(UNSURE_WARM);

let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
let nats: RawNats;
let answer: (question: RawMessage) => void = () => {};
let digest: string;
beforeAll(async () => {
  system = await startFuzzedSystem({ expert: false, env: { ASK_CACHE_BYTES: '0', ASK_SECOND_CHOICE: 'false' } });
  digest = system.digest;
  nats = await connectRawNats(system.nats.url);
  nats.subscribe(classifySubject('warm'), (question) => answer(question), EXPERT_QUEUE);
  await nats.flush();
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
  await system[Symbol.asyncDispose]();
});

function reply(one: ReplyCase, to: string): void {
  const lines = one.lines.map(({ name, value }) => `${name}: ${value.replace('DIGEST', digest)}\r\n`).join('');
  const headers = one.start === '' && one.lines.length === 0 ? '' : `${one.start}\r\n${lines}\r\n`;
  const payload = typeof one.payload === 'number' ? Buffer.alloc(one.payload) : Buffer.from(one.payload);
  for (let i = 0; i < one.times; i++) nats.publish(to, '', headers, payload);
}

/** Asks the edge for a picture whose expert replies with `one`, after proper ones that have closed its circuit. */
async function classifyAfresh(one: ReplyCase) {
  await waitFor(async () => (await classify(proper)).route === 'expert', 'the expert to be asked again');
  return classify(one);
}

async function classify(one: ReplyCase) {
  const deadlineMs = one.delayMs > 0 ? SHORT_MS : maybeStray(one) ? STRAY_MS : DEADLINE_MS;
  answer = (question) => {
    if (one.delayMs === 0) reply(one, question.reply);
    else setTimeout(() => reply(one, question.reply), one.delayMs);
  };
  const response = await fetch(`${system.url}/classify?strategy=expert&deadlineMs=${deadlineMs}`, {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: new Uint8Array(picture),
    signal: AbortSignal.timeout(DEADLINE_MS + SLACK_MS),
  });
  const text = await response.text();
  requireProper({ status: response.status, type: response.headers.get('content-type') ?? '', text });
  if (response.status !== 200) throw new Error(`refused: ${text}`);
  return JSON.parse(text);
}

test.each<[string, ReplyCase, string, string | null]>([
  ['a proper reply', proper, 'expert', null],
  ['five proper replies', { ...proper, times: 5 }, 'expert', null],
  ['a reply after the deadline', { ...proper, delayMs: TOO_LATE_MS }, 'edge', 'timeout'],
  ['no headers', { ...proper, start: '', lines: [] }, 'edge', 'timeout'],
  ['neither logits nor an error', { ...proper, lines: [{ name: 'Other', value: 'x' }] }, 'edge', 'timeout'],
  ['headers that cannot be read', withLine('bad name', 'x'), 'edge', 'expert-error'],
  ['a line of headers that is none', { ...proper, lines: [{ name: 'no colon\r\nx', value: '' }] }, 'edge', 'timeout'],
  ['too few logits', { ...proper, payload: 6 }, 'edge', 'expert-error'],
  ['1 MB', { ...proper, payload: 1_000_000 }, 'edge', 'expert-error'],
  ['NaN', { ...proper, payload: [0, 0x7e, 0, 0, 0, 0, 0, 0] }, 'edge', 'expert-error'],
  ['infinity', { ...proper, payload: [0, 0x7c, 0, 0, 0, 0, 0, 0] }, 'edge', 'expert-error'],
  ['another layout', withLine('Ask-Payload', 'logits/f32'), 'edge', 'expert-error'],
  ['another model', withLine('Ask-Model-Digest', '0'.repeat(64)), 'edge', 'expert-error'],
  ['an infinite duration', withLine('Ask-Expert-Ms', '1e999'), 'expert', null],
  ['a full queue', withLine('Nats-Service-Error', 'overloaded'), 'edge', 'overloaded'],
  ['an error named __proto__', withLine('Nats-Service-Error', '__proto__'), 'edge', 'expert-error'],
  ['an error named constructor', withLine('Nats-Service-Error', 'constructor'), 'edge', 'expert-error'],
])('fuzz replies: %s', async (_, one, route, degraded) => {
  const body = await classifyAfresh(one);
  expect([body.route, body.degraded]).toEqual([route, degraded]);
});

fuzz(
  'whatever an expert replies, the edge answers in time and says why alone',
  'replies',
  replyCase,
  () => system.watched,
  async (one) => {
    const { route, degraded } = await classifyAfresh(one);
    if (route === 'edge' && degraded === null) throw new Error('not degraded');
    const late = one.delayMs > 0 || maybeStray(one) || one.lines.some(({ value }) => value === 'deadline-exceeded');
    if (degraded === 'timeout' && !late) throw new Error(`${degraded}`);
    if (one.delayMs > 0 && degraded !== 'timeout') throw new Error(`${degraded}`);
  },
  1,
);
