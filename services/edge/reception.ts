import type { IncomingMessage } from 'node:http';
import { AppError } from '../../shared/errors.ts';

/** Bounds what requests hold while they arrive and until they are answered, so that slow senders shut nobody out. */
export interface Reception {
  /**
   * Takes a request whose headers have arrived; its body must have within `withinMs`. When there are too many, or too
   * many bytes, those still arriving give way, the oldest first; `drop` ends one. Throws AppError `overloaded` if all
   * have arrived and none can give way. Returns what must be called when the request is over.
   */
  take(request: IncomingMessage, withinMs: number, drop: (why: AppError) => void): () => void;
  /** Resolves when no request is here. */
  idle(): Promise<void>;
}

export interface ReceptionLimits {
  /** Requests still arriving. */
  count: number;
  /** Of all bodies together: as announced, or `bodyBytes` where a request does not announce any. */
  bytes: number;
  bodyBytes: number;
}

interface Guest {
  bytes: number;
  drop(why: AppError): void;
}

export function createReception(limits: ReceptionLimits): Reception {
  const arriving = new Set<Guest>();
  let count = 0;
  let bytes = 0;
  let waiting: (() => void)[] = [];

  function makeRoom(needed: number): void {
    const full = () => arriving.size >= limits.count || bytes + needed > limits.bytes;
    for (const oldest of arriving) {
      if (!full()) return;
      oldest.drop(new AppError('request-timeout', 'others were waiting, and the request had not arrived completely'));
    }
    if (full()) throw new AppError('overloaded', `${bytes} bytes of pictures are being worked on already`);
  }

  return {
    take(request, withinMs, drop) {
      const announced = Number(request.headers['content-length'] ?? Number.NaN);
      const guest: Guest = {
        bytes: Math.min(limits.bodyBytes, Number.isNaN(announced) ? limits.bodyBytes : announced),
        drop(why) {
          leave();
          drop(why);
        },
      };
      makeRoom(guest.bytes);
      bytes += guest.bytes;
      count += 1;
      arriving.add(guest);
      const late = new AppError('request-timeout', `the request had not arrived completely after ${withinMs} ms`);
      // What lies unread because this process was busy has arrived: it is read before the check phase of the event loop.
      const overdue = () => setImmediate(() => arriving.has(guest) && guest.drop(late));
      const timer = setTimeout(overdue, withinMs);
      const arrived = () => {
        clearTimeout(timer);
        arriving.delete(guest);
      };
      let over = false;
      const leave = () => {
        arrived();
        if (over) return;
        over = true;
        bytes -= guest.bytes;
        count -= 1;
        if (count > 0) return;
        for (const resolve of waiting) resolve();
        waiting = [];
      };
      request.once('end', arrived);
      return leave;
    },
    async idle() {
      if (count > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}
