/** What the services need of a message bus. `bus-nats.ts` and `bus-memory.ts` implement it. */
export interface Bus {
  readonly kind: 'nats' | 'memory';
  readonly connected: boolean;
  /** One request, one reply. Rejects with BusError. */
  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Reply>;
  /** Every reply that arrives within `waitMs`; none is an empty list, not an error. Rejects if disconnected. */
  requestMany(subject: string, waitMs: number): Promise<Reply[]>;
  /** A message without a reply, lost if nobody listens or the bus is away. */
  publish(subject: string, message: Reply): void;
  /** `handler` must return at once and must not throw; members of one `queue` share the messages. */
  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription;
  /** Resolves when all replies handed over so far have left. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export type BusHeaders = Record<string, string>;

export interface RequestOptions {
  headers: BusHeaders;
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface Reply {
  payload: Uint8Array;
  headers: BusHeaders;
}

export interface BusMessage extends Reply {
  subject: string;
  respond(payload: Uint8Array, headers: BusHeaders): void;
}

export interface Subscription {
  /** Takes no new message; resolves when those already received have been given to the handler. */
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
