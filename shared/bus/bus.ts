import type { Message } from '../wire/message.ts';

/** What the services need of a message bus. `bus-nats.ts` and `bus-memory.ts` implement it. */
export interface Bus {
  readonly kind: 'nats' | 'memory';
  readonly connected: boolean;
  /** Resolves with the first connection. */
  readonly opened: Promise<void>;
  /** Subjects of subscriptions that the broker refuses at present; they are tried again until it accepts them. */
  readonly refused: string[];
  /** One request, the first reply that it accepts. Rejects with BusError. */
  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message>;
  /** Every reply that arrives within `waitMs`; none is an empty list, not an error. Rejects if disconnected. */
  requestMany(subject: string, waitMs: number): Promise<Message[]>;
  /** A message without a reply, lost if nobody listens or the bus is away. */
  publish(subject: string, message: Message): void;
  /** `handler` must return at once and must not throw; members of one `queue` share the messages. */
  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription;
  /** Resolves when all replies handed over so far have left, or after a second if the broker does not say so. */
  flush(): Promise<void>;
  /** Lets what is under way leave, for a second at most. */
  close(): Promise<void>;
}

export type BusHeaders = Record<string, string>;

export interface RequestOptions {
  headers: BusHeaders;
  timeoutMs: number;
  /** Of a reply that is none: it is passed over, and the next is waited for. Default: every reply is the answer. */
  accepts?: (reply: Message) => boolean;
  signal?: AbortSignal;
}

export interface BusMessage extends Message {
  subject: string;
  /** Never throws. Of a reply that the bus cannot carry, for its size, the asker gets an error message instead. */
  respond(payload: Uint8Array, headers: BusHeaders): void;
}

export interface Subscription {
  /**
   * Takes no new message; resolves when those already received have been given to the handler, after a second anyhow.
   */
  drain(): Promise<void>;
}

export type BusFailure = 'no-responders' | 'timeout' | 'disconnected' | 'too-large' | 'unreadable' | 'aborted';

export class BusError extends Error {
  readonly failure: BusFailure;

  constructor(failure: BusFailure, options?: ErrorOptions) {
    super(`bus: ${failure}`, options);
    this.name = 'BusError';
    this.failure = failure;
  }
}
