import type { Message } from '../wire/message.ts';

/** The message bus of the services. `nats/connection.ts` and `memory.ts` implement it. */
export interface Bus {
  readonly kind: 'nats' | 'memory';
  readonly connected: boolean;
  /** Resolves with the first connection. */
  readonly opened: Promise<void>;
  /** Subjects whose subscriptions the broker refuses; they are tried again until it accepts them. */
  readonly refused: string[];
  /** Sends one request; resolves with the first accepted reply. Rejects with BusError. */
  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message>;
  /** Every reply that arrives within `waitMs`; an empty list if none does. Rejects if disconnected. */
  requestMany(subject: string, waitMs: number): Promise<Message[]>;
  /** Sends a message without a reply. It is lost if nobody listens or the bus is disconnected. */
  publish(subject: string, message: Message): void;
  /** `handler` must return at once and must not throw. Members of one `queue` share the messages. */
  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription;
  /** Resolves when all messages so far have been sent, or after a second if the broker does not confirm. */
  flush(): Promise<void>;
  /** Sends what is under way, for a second at most, then disconnects. */
  close(): Promise<void>;
}

export type BusHeaders = Record<string, string>;

export interface RequestOptions {
  headers: BusHeaders;
  timeoutMs: number;
  /** False for a message that is no reply: it is ignored, and the next one is awaited. Default: accepts all. */
  accepts?: (reply: Message) => boolean;
  signal?: AbortSignal;
}

export interface BusMessage extends Message {
  subject: string;
  /** Never throws. If a reply is too large for the bus, the requester gets an error message instead. */
  respond(payload: Uint8Array, headers: BusHeaders): void;
}

export interface Subscription {
  /** Takes no new message. Resolves when those already received have been handled, or after a second. */
  drain(): Promise<void>;
}

type BusFailure = 'no-responders' | 'timeout' | 'disconnected' | 'too-large' | 'unreadable' | 'aborted';

export class BusError extends Error {
  readonly failure: BusFailure;

  constructor(failure: BusFailure, options?: ErrorOptions) {
    super(`bus: ${failure}`, options);
    this.name = 'BusError';
    this.failure = failure;
  }
}
