import type { Message } from '../wire/message.ts';
import { type Bus, BusError, type BusHeaders, type BusMessage, type RequestOptions } from './bus.ts';

type Handler = (message: BusMessage) => void;

interface Member {
  handler: Handler;
  queue: string | undefined;
}

/** The bus inside one process, with the semantics of NATS that the services rely on. */
export function createMemoryBus(): Bus {
  const members = new Members();
  let closed = false;

  function request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (closed) return reject(new BusError('disconnected'));
      if (options.signal?.aborted) return reject(new BusError('aborted'));
      const settle = (action: () => void) => {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', abort);
        action();
      };
      const abort = () => settle(() => reject(new BusError('aborted')));
      const timer = setTimeout(() => settle(() => reject(new BusError('timeout'))), options.timeoutMs);
      options.signal?.addEventListener('abort', abort);
      const count = members.deliver(subject, payload, options.headers, (reply) => {
        if (options.accepts?.(reply) !== false) settle(() => resolve(reply));
      });
      if (count === 0) settle(() => reject(new BusError('no-responders')));
    });
  }

  async function requestMany(subject: string, waitMs: number): Promise<Message[]> {
    if (closed) throw new BusError('disconnected');
    const replies: Message[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const expected = members.deliver(subject, new Uint8Array(), {}, (reply) => {
      replies.push(reply);
      if (replies.length === expected) resolve();
    });
    if (expected === 0) return [];
    const timer = setTimeout(resolve, waitMs);
    await promise;
    clearTimeout(timer);
    return replies;
  }

  return {
    kind: 'memory',
    get connected() {
      return !closed;
    },
    opened: Promise.resolve(),
    refused: [],
    request,
    requestMany,
    publish(subject, { payload, headers }) {
      if (!closed) members.deliver(subject, payload, headers, () => {});
    },
    subscribe(subject, handler, queue) {
      const remove = members.add(subject, { handler, queue });
      return {
        async drain() {
          remove();
          await new Promise(setImmediate);
        },
      };
    },
    async flush() {
      await new Promise(setImmediate);
    },
    async close() {
      closed = true;
      members.clear();
    },
  };
}

/** The subscribers of each subject. */
class Members {
  readonly #bySubject = new Map<string, Set<Member>>();
  #turn = 0;

  /** Returns a function that removes the member. */
  add(subject: string, member: Member): () => void {
    const set = this.#bySubject.get(subject) ?? new Set();
    this.#bySubject.set(subject, set.add(member));
    return () => void set.delete(member);
  }

  clear(): void {
    this.#bySubject.clear();
  }

  /** Returns how many members get the message. */
  deliver(subject: string, payload: Uint8Array, headers: BusHeaders, onReply: (reply: Message) => void): number {
    const chosen = this.#receivers(subject);
    for (const { handler } of chosen) {
      const respond = (reply: Uint8Array, replyHeaders: BusHeaders) =>
        setImmediate(onReply, { payload: reply, headers: replyHeaders });
      setImmediate(handler, { subject, payload, headers, respond });
    }
    return chosen.length;
  }

  /** Every member without a queue, and one member of each queue group, in turns. */
  #receivers(subject: string): Member[] {
    const groups = new Map<string, Member[]>();
    const chosen: Member[] = [];
    for (const member of this.#bySubject.get(subject) ?? []) {
      if (member.queue === undefined) chosen.push(member);
      else groups.set(member.queue, [...(groups.get(member.queue) ?? []), member]);
    }
    this.#turn += 1;
    for (const group of groups.values()) chosen.push(group[this.#turn % group.length] as Member);
    return chosen;
  }
}
