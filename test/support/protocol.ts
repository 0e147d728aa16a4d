import { decodeReply, encodeReply } from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';

/** A reply as an expert gives it to a picture. */
export function logitsReply(logits: Float32Array, modelDigest: string): Message {
  const outputs = { logits: { type: 'float32' as const, shape: [1, logits.length], data: logits } };
  return encodeReply(
    { outputs, expertMs: 1, modelDigest },
    { body: { pixels: new Uint8Array(), width: 0, height: 0 } },
  );
}

/** What an edge reads of such a reply. Throws as it does. */
export function readReply(reply: Message, labels: number) {
  const read = decodeReply(reply, { logits: { type: 'float32', shape: ['batch', labels] } });
  return { ...read, logits: read.outputs.logits?.data as Float32Array };
}
