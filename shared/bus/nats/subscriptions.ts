import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Subscription as Listening, Msg, NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import type { Log } from '../../observe/log.ts';
import { type RateLimitedLog, rateLimited } from '../../observe/rate-limited-log.ts';
import { AppError } from '../../request/errors.ts';
import { encodeError } from '../../wire/expert-protocol.ts';
import type { Message } from '../../wire/message.ts';
import type { BusMessage, Subscription } from '../bus.ts';
import { fromMessage, toHeaders } from './inbox.ts';

/** Milliseconds until a subscription that the broker refused is tried again. */
const RENEWAL_MS = 2000;

interface Member {
  subject: string;
  queue: string | undefined;
  handler: (message: BusMessage) => void;
  listening: Listening | undefined;
  /** True until the broker is known to have accepted it again. */
  refused: boolean;
}

/**
 * The subscriptions of a bus. The client forgets a subscription that the broker refuses, but permissions change while
 * services run. So it is subscribed again here until it is accepted.
 */
export class NatsSubscriptions {
  readonly #log: Log;
  readonly #say: RateLimitedLog;
  readonly #members = new Set<Member>();
  #connection: NatsConnection | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
    this.#say = rateLimited(log);
  }

  /** Subjects whose subscriptions the broker refuses. */
  get refused(): string[] {
    return [...this.#members].filter((member) => member.refused).map((member) => member.subject);
  }

  /** Takes effect at `open` if called earlier. Throws as the client's `subscribe` does. */
  add(subject: string, handler: (message: BusMessage) => void, queue: string | undefined): Subscription {
    const member: Member = { subject, queue, handler, listening: undefined, refused: false };
    this.#members.add(member);
    if (this.#connection) this.#listen(member, this.#connection);
    return {
      drain: async () => {
        this.#members.delete(member);
        if (member.listening) await briefly(member.listening.drain());
      },
    };
  }

  open(connection: NatsConnection): void {
    this.#connection = connection;
    for (const member of this.#members) this.#listen(member, connection);
  }

  /** The broker refused something. True if it is a subscription that it had refused before. */
  refuse({ operation, subject, queue }: PermissionViolationError): boolean {
    // The error for a withdrawn permission lacks the queue, and the client keeps the subscription.
    const hit = [...this.#members].filter(
      (member) =>
        operation === 'subscription' && member.subject === subject && (queue ?? member.queue) === member.queue,
    );
    const again = hit.some((member) => member.refused);
    for (const member of hit) {
      member.listening?.unsubscribe();
      member.listening = undefined;
      member.refused = true;
    }
    this.#schedule();
    return again;
  }

  #schedule(): void {
    if (this.#renewal || this.refused.length === 0) return;
    this.#renewal = setTimeout(() => this.#renew(), RENEWAL_MS).unref();
  }

  async #renew(): Promise<void> {
    this.#renewal = undefined;
    const connection = this.#connection;
    if (!connection || connection.isClosed() || connection.isDraining()) return;
    const tried = [...this.#members].filter((member) => member.refused);
    for (const member of tried) this.#listen(member, connection);
    try {
      await connection.flush();
      await setImmediate(); // a refusal precedes the answer to the flush, but comes through an iterator
      for (const member of tried) member.refused = member.listening === undefined;
      const subjects = tried.filter((member) => !member.refused).map((member) => member.subject);
      if (subjects.length > 0) this.#log.info({ subjects }, 'NATS accepts what it had refused');
    } catch {
      // The connection is lost: whether the broker accepts them is unknown.
    }
    this.#schedule();
  }

  #listen(member: Member, connection: NatsConnection): void {
    const { subject, queue } = member;
    member.listening ??= connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (!error) this.#receive(member, message); // an error is a refusal, which `refuse` handles
      },
    });
  }

  #receive({ subject, handler }: Member, message: Msg): void {
    const respond = (payload: Uint8Array, headers: Message['headers']) => this.#respond(message, { payload, headers });
    try {
      handler({ ...fromMessage(message), subject: message.subject, respond });
    } catch (thrown) {
      // Headers are parsed here. An exception would end the client's reading of the whole connection.
      const { message: reason } = thrown as Error;
      this.#say('warn', `unreadable ${subject}`, { subject, reason }, 'unreadable message');
      this.#respond(message, encodeError(new AppError('invalid-body', 'the message cannot be read')));
    }
  }

  /**
   * Never throws. A reply that is too large for the broker is replaced by an error; without a connection nothing is
   * sent.
   */
  #respond(message: Msg, { payload, headers }: Message, instead = false): void {
    try {
      message.respond(payload, { headers: toHeaders(headers) });
    } catch (error) {
      const fields = { err: error, subject: message.subject, bytes: payload.length };
      this.#say('error', `unsent ${message.subject}`, fields, 'a reply cannot be sent');
      if (!instead) this.#respond(message, encodeError(error), true);
    }
  }
}

/** Resolves when `waiting` settles, or after a second: a frozen broker never answers. */
export async function briefly(waiting: Promise<unknown>): Promise<void> {
  await Promise.race([waiting, sleep(1000, undefined, { ref: false })]).catch(() => {});
}
