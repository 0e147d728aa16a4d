import type { Message } from '../wire/message.ts';
import { type Bus, BusError, type BusHeaders, type BusMessage, type RequestOptions } from './bus.ts';

type Handler = (message: BusMessage) => void;

interface Member {
  handler: Handler;
  queue: string | undefined;
}

/** The bus inside one process, with the semantics of NATS that the services rely on. */
export function createMemoryBus(): Bus {
  const members = new Map<string, Set<Member>>();
  let turn = 0;
  let closed = false;

  /** One member per queue group, in turns, and every member without a queue. */
  function receivers(subject: string): Member[] {
    const groups = new Map<string, Member[]>();
    const chosen: Member[] = [];
    for (const member of members.get(subject) ?? []) {
      if (member.queue === undefined) chosen.push(member);
      else groups.set(member.queue, [...(groups.get(member.queue) ?? []), member]);
    }
    turn += 1;
    for (const group of groups.values()) chosen.push(group[turn % group.length] as Member);
    return chosen;
  }

  function deliver(
    subject: string,
    payload: Uint8Array,
    headers: BusHeaders,
    onReply: (reply: Message) => void,
  ): number {
    const chosen = receivers(subject);
    for (const { handler } of chosen) {
      const respond = (reply: Uint8Array, replyHeaders: BusHeaders) =>
        setImmediate(onReply, { payload: reply, headers: replyHeaders });
      setImmediate(handler, { subject, payload, headers, respond });
    }
    return chosen.length;
  }

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
      const count = deliver(subject, payload, options.headers, (reply) => {
        if (options.accepts?.(reply) !== false) settle(() => resolve(reply));
      });
      if (count === 0) settle(() => reject(new BusError('no-responders')));
    });
  }

  async function requestMany(subject: string, waitMs: number): Promise<Message[]> {
    if (closed) throw new BusError('disconnected');
    const replies: Message[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const expected = deliver(subject, new Uint8Array(), {}, (reply) => {
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
      if (!closed) deliver(subject, payload, headers, () => {});
    },
    subscribe(subject, handler, queue) {
      const member = { handler, queue };
      const set = members.get(subject) ?? new Set();
      members.set(subject, set.add(member));
      return {
        async drain() {
          set.delete(member);
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
