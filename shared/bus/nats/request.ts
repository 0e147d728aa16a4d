import { InvalidArgumentError } from '@nats-io/transport-node';
import type { Message } from '../../wire/message.ts';
import { BusError, type RequestOptions } from '../bus.ts';
import type { NatsInbox } from './inbox.ts';

interface NatsRequest extends RequestOptions {
  subject: string;
  payload: Uint8Array;
  /** Called with a reply that is not accepted. */
  passOver(subject: string, reply: Message): void;
}

/**
 * Sends one request; resolves with the first accepted reply. `open` returns the inbox or throws. Rejects with BusError.
 */
export async function request(open: () => NatsInbox, asked: NatsRequest): Promise<Message> {
  const { subject, payload, headers, timeoutMs, accepts, signal, passOver } = asked;
  if (signal?.aborted) throw new BusError('aborted');
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  const abort = () => reject(new BusError('aborted'));
  const timer = setTimeout(() => reject(new BusError('timeout')), Math.max(1, timeoutMs));
  signal?.addEventListener('abort', abort);
  let stop = () => {};
  try {
    const onReply = (reply: Message) => {
      if (accepts?.(reply) === false) passOver(subject, reply);
      else resolve(reply);
    };
    stop = open().ask(subject, payload, headers, { onReply, onFailure: reject });
    return await promise;
  } catch (error) {
    throw toBusError(error);
  } finally {
    stop();
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** Every reply that arrives within `waitMs`. */
export async function requestMany(open: () => NatsInbox, subject: string, waitMs: number): Promise<Message[]> {
  const replies: Message[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, waitMs);
  const onFailure = (error: BusError) => {
    if (error.failure === 'no-responders') resolve();
    else if (error.failure !== 'unreadable') reject(error);
  };
  let stop = () => {};
  try {
    stop = open().ask(subject, new Uint8Array(), {}, { onReply: (reply) => void replies.push(reply), onFailure });
    await promise;
    return replies;
  } finally {
    stop();
    clearTimeout(timer);
  }
}

function toBusError(error: unknown): BusError {
  if (error instanceof BusError) return error;
  if (error instanceof InvalidArgumentError) return new BusError('too-large', { cause: error });
  return new BusError('disconnected', { cause: error });
}
