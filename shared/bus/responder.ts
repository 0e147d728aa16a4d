import { AppError } from '../request/errors.ts';
import { encodeError } from '../wire/expert-protocol.ts';
import type { Message } from '../wire/message.ts';
import type { Bus, BusMessage, Subscription } from './bus.ts';

interface ResponderOptions {
  bus: Bus;
  queue: string;
  /** Messages being handled, over all subjects; one more is answered `overloaded` at once. */
  capacity: number;
}

interface Responder {
  readonly inFlight: number;
  /**
   * `handle` may reject: the requester gets the error as headers. `refused` is called for a message that exceeds the
   * capacity.
   */
  serve(subject: string, handle: (message: BusMessage) => Promise<Message>, refused?: (why: AppError) => void): void;
  /** Takes nothing new; resolves when everything in flight is answered and the answers are sent. */
  stop(): Promise<void>;
}

/** Answers requests from the bus with bounded concurrency, and drains without losing any. */
export function createResponder({ bus, queue, capacity }: ResponderOptions): Responder {
  const subscriptions: Subscription[] = [];
  const working = new Set<Promise<void>>();

  async function answer(message: BusMessage, handle: (message: BusMessage) => Promise<Message>): Promise<void> {
    const reply = await handle(message).catch(encodeError);
    message.respond(reply.payload, reply.headers);
  }

  return {
    get inFlight() {
      return working.size;
    },
    serve(subject, handle, refused) {
      const receive = (message: BusMessage) => {
        if (working.size >= capacity) {
          const why = new AppError('overloaded', `${capacity} requests are waiting already`);
          const { payload, headers } = encodeError(why);
          message.respond(payload, headers);
          return refused?.(why);
        }
        const work = answer(message, handle).finally(() => working.delete(work));
        working.add(work);
      };
      subscriptions.push(bus.subscribe(subject, receive, queue));
    },
    async stop() {
      await Promise.all(subscriptions.map((subscription) => subscription.drain()));
      while (working.size > 0) await Promise.all(working);
      await bus.flush();
    },
  };
}
