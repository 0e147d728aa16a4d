import { randomUUID } from 'node:crypto';
import {
  headers as createHeaders,
  createInbox,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from '@nats-io/transport-node';
import type { Message } from '../../wire/message.ts';
import { BusError, type BusHeaders } from '../bus.ts';

/** Gets the replies to a question, any number of them, or its failures. */
interface Listener {
  onReply(reply: Message): void;
  onFailure(error: BusError): void;
}

interface Question extends Listener {
  subject: string;
}

/**
 * Sends questions on one connection and receives their replies. The client's own requests are not used: an exception
 * while they parse headers ends the reading of the whole connection, so one garbled reply would silence every expert.
 */
export class NatsInbox {
  readonly #connection: NatsConnection;
  readonly #address: string;
  readonly #questions = new Map<string, Question>();
  #subscribed = false;

  constructor(connection: NatsConnection, prefix: string | undefined) {
    this.#connection = connection;
    this.#address = `${createInbox(prefix)}.`;
  }

  /** Sends a question. Returns a function that stops listening. Throws as the client's `publish` does. */
  ask(subject: string, payload: Uint8Array, headers: BusHeaders, listener: Listener): () => void {
    if (!this.#subscribed) this.#subscribe();
    const token = randomUUID(); // one responder must not be able to answer another's questions
    const message = { headers: toHeaders(headers), reply: this.#address + token };
    this.#connection.publish(subject, payload, message);
    this.#questions.set(token, { subject, ...listener });
    return () => this.#questions.delete(token);
  }

  /** Fails the questions on a subject that the server forbids; all questions, if undefined: the connection is lost. */
  refuse(subject?: string): void {
    for (const question of [...this.#questions.values()]) {
      if (subject === undefined || question.subject === subject) question.onFailure(new BusError('disconnected'));
    }
  }

  #subscribe(): void {
    this.#subscribed = true;
    this.#connection.subscribe(`${this.#address}*`, {
      callback: (error, message) => {
        if (!error) return this.#receive(message);
        this.#subscribed = false;
        this.refuse();
      },
    });
  }

  #receive(message: Msg): void {
    const question = this.#questions.get(message.subject.slice(this.#address.length));
    if (!question) return;
    try {
      if (message.data.length === 0 && message.headers?.code === 503) throw new BusError('no-responders');
      question.onReply(fromMessage(message));
    } catch (error) {
      question.onFailure(error instanceof BusError ? error : new BusError('unreadable', { cause: error }));
    }
  }
}

export function toHeaders(entries: BusHeaders): MsgHdrs {
  const headers = createHeaders();
  for (const [key, value] of Object.entries(entries)) headers.set(key, value);
  return headers;
}

/** Throws if the headers cannot be parsed. */
export function fromMessage(message: Msg): Message {
  const headers: BusHeaders = {};
  for (const [key, values] of message.headers ?? []) headers[key] = values[0] ?? '';
  return { payload: message.data, headers };
}
