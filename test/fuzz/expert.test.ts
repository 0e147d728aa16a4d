import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BusHeaders } from '../../shared/bus/bus.ts';
import { type ErrorCode, isErrorCode } from '../../shared/request/errors.ts';
import { classifySubject } from '../../shared/wire/expert-protocol.ts';
import { startCollector } from '../support/collector.ts';
import { busCase, NORMAL_MS, toMessage } from '../support/fuzz/bus-cases.ts';
import { fuzz } from '../support/fuzz/cases.ts';
import { connectRawNats, type RawMessage, type RawNats } from '../support/fuzz/raw-nats.ts';
import { makeSamples } from '../support/fuzz/samples.ts';
import { SLACK_MS, startFuzzedSystem } from '../support/fuzz/system.ts';
import { readReply } from '../support/protocol.ts';

/** Requests over the bus, from somebody who does not keep to the protocol. */
const samples = await makeSamples();

let collector: Awaited<ReturnType<typeof startCollector>>;
let system: Awaited<ReturnType<typeof startFuzzedSystem>>;
let nats: RawNats;
let waiting: Map<string, (message: RawMessage) => void>;
beforeAll(async () => {
  collector = await startCollector();
  system = await startFuzzedSystem({ env: collector.env });
  nats = await connectRawNats(system.nats.url);
  waiting = new Map();
  nats.subscribe('answers.*', (message) => waiting.get(message.subject)?.(message));
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
  await system[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});

let count = 0;
const subject = classifySubject('warm');

/** Sends a request and waits for the expert's answer. */
async function ask(headers: string, payload: Uint8Array): Promise<RawMessage> {
  count += 1;
  const inbox = `answers.${count}`;
  const { promise, resolve, reject } = Promise.withResolvers<RawMessage>();
  waiting.set(inbox, resolve);
  const late = setTimeout(
    () => reject(new Error(`no answer; the server said '${nats.complaint}'`)),
    NORMAL_MS + SLACK_MS,
  );
  nats.publish(subject, inbox, headers, payload);
  const message = await promise;
  clearTimeout(late);
  waiting.delete(inbox);
  return message;
}

/** Logits, or an error that blames the caller. Returns its code. */
function requireReply({ headers, payload }: RawMessage): ErrorCode | undefined {
  const fields: BusHeaders = {};
  for (const [, name, value] of headers.matchAll(/^([^:\r\n]+): ?(.*)\r$/gm)) fields[name as string] = value as string;
  const code = fields['Nats-Service-Error'];
  if (code === undefined) return void readReply({ headers: fields, payload }, 4);
  const ours: string[] = ['internal', 'model-failed', 'stopping', 'starting'] satisfies ErrorCode[];
  if (!isErrorCode(code) || ours.includes(code)) throw new Error(`error '${code}'`);
  return code;
}

test('fuzz expert: a proper request is answered with logits', async () => {
  const headers = `NATS/1.0\r\nAsk-Deadline-Ms: ${NORMAL_MS}\r\nAsk-Payload: image/x-rgb8; width=8; height=8\r\n\r\n`;
  expect(requireReply(await ask(headers, Buffer.alloc(192, 120)))).toBe(undefined);
});

fuzz(
  'whatever message comes to an expert is answered, or refused with a code',
  'expert',
  busCase([...samples.keys()]),
  () => system.watched,
  async (one) => {
    const { headers, payload } = toMessage(one, samples);
    if (one.reply === 'answers') {
      const code = requireReply(await ask(headers, payload));
      const hurried = /Ask-Deadline-Ms: [01]\r?\n/.test(headers);
      if ((code === 'deadline-exceeded' || code === 'overloaded') && !hurried) throw new Error(code);
      return;
    }
    const to = { nobody: '', itself: subject }[one.reply as string] ?? one.reply;
    nats.publish(subject, to, headers, payload);
    await nats.flush();
  },
);
