import { describe, expect, test } from 'vitest';
import { AppError } from '../../../shared/request/errors.ts';
import { classifySubject, decodeRequest, encodeError, encodeRequest } from '../../../shared/wire/expert-protocol.ts';
import { logitsReply, readReply } from '../../support/protocol.ts';

const image = { pixels: Uint8Array.from({ length: 12 }, (_, i) => i), width: 2, height: 2 };
const request = { requestId: 'r1', deadlineMs: 1234.9, body: image };

/** The code of the AppError that `action` throws. */
function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as AppError).code;
  }
  return 'nothing thrown';
}

test('expert protocol: subjects follow the contract', () => {
  expect(classifySubject('expert-1')).toBe('ask.v1.expert.expert-1.classify');
});

describe('expert protocol: request', () => {
  test('survives the round trip, its deadline in whole milliseconds rounded down', () => {
    expect(decodeRequest(encodeRequest(request))).toEqual({ ...request, deadlineMs: 1234 });
    const modelDigest = 'f'.repeat(64);
    expect(decodeRequest(encodeRequest({ ...request, modelDigest }))).toMatchObject({ modelDigest });
  });

  test('pixels travel as they are', () => {
    expect(encodeRequest(request).payload).toEqual(image.pixels);
  });

  test('a file travels as it is, under its media type', () => {
    const file = { bytes: Uint8Array.of(1, 2, 3), type: 'image/webp' as const };
    const message = encodeRequest({ ...request, body: file });
    expect([message.payload, message.headers['Ask-Payload']]).toEqual([file.bytes, 'image/webp']);
    expect(decodeRequest(message).body).toEqual(file);
  });

  test.each([
    ['no deadline', { 'Ask-Deadline-Ms': '' }, 'invalid-parameter'],
    ['a negative deadline', { 'Ask-Deadline-Ms': '-5' }, 'invalid-parameter'],
    ['an unknown encoding', { 'Ask-Payload': 'image/gif' }, 'unsupported-media-type'],
    ['pixels missing', { 'Ask-Payload': 'image/x-rgb8; width=3; height=2' }, 'invalid-body'],
  ])('%s is refused', (_, headers, code) => {
    const message = encodeRequest(request);
    expect(codeOf(() => decodeRequest({ ...message, headers: { ...message.headers, ...headers } }))).toBe(code);
  });
});

describe('expert protocol: reply', () => {
  const logits = Float32Array.of(1.5, -2.25, 10);
  const reply = logitsReply(logits, 'abc');

  test('survives the round trip', () => {
    expect(readReply(reply, 3)).toMatchObject({ logits, expertMs: 1, modelDigest: 'abc' });
  });

  test('logits are little-endian float16', () => {
    expect([...reply.payload]).toEqual([0x00, 0x3e, 0x80, 0xc0, 0x00, 0x49]);
  });

  test('a payload at an odd offset of its buffer is read all the same', () => {
    const { payload, headers } = reply;
    const shifted = new Uint8Array(payload.length + 1);
    shifted.set(payload, 1);
    expect(readReply({ payload: shifted.subarray(1), headers }, 3).logits).toEqual(logits);
  });

  test.each(['Infinity', '1e999', '-1', 'NaN', ''])('a duration of %o counts as none', (duration) => {
    const { payload, headers } = reply;
    expect(readReply({ payload, headers: { ...headers, 'Ask-Expert-Ms': duration } }, 3).expertMs).toBe(0);
  });

  test('another number of logits, or logits that are not finite, are the expert’s failure', () => {
    expect(codeOf(() => readReply(reply, 4))).toBe('model-failed');
    const infinite = logitsReply(Float32Array.of(1, Number.NaN, 1e9), 'abc');
    expect(codeOf(() => readReply(infinite, 3))).toBe('model-failed');
  });
});

test('expert protocol: errors cross the bus as code and status; an unknown failure shows nothing of itself', () => {
  expect(encodeError(new AppError('overloaded', 'full')).headers).toEqual({
    'Nats-Service-Error': 'overloaded',
    'Nats-Service-Error-Code': '429',
  });
  expect(codeOf(() => readReply(encodeError(new AppError('deadline-exceeded', '')), 3))).toBe('deadline-exceeded');
  expect(encodeError(new Error('secret')).headers['Nats-Service-Error']).toBe('internal');
});
