import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '../../shared/errors.ts';
import { kindOf } from './read-image.ts';

/** Bounds what requests hold while they arrive and until they are answered, so that slow senders shut nobody out. */
export interface Reception {
  /**
   * Takes a request whose headers have arrived; its body must have within `withinMs`. When there are too many bytes,
   * those give way that come too slowly, the oldest first, and when there are too many, any; `drop` ends one. Throws
   * AppError `overloaded` if not even that makes room.
   */
  take(request: IncomingMessage, withinMs: number, drop: (why: AppError) => void): Guest;
}

export interface Guest {
  /** The body has arrived and has so many bytes: until then it counts as announced, or once as the largest. */
  weigh(bytes: number): void;
  /** The request is over. */
  leave(): void;
}

export interface ReceptionLimits {
  /** Requests still arriving. */
  count: number;
  /** Of all bodies together. */
  bytes: number;
  /** The most that one body may have. */
  bodyBytes: number;
  /** Milliseconds in which a body must come that is to keep its place: callers choose their own deadlines. */
  fairMs: number;
}

const LATE = 'the request had not arrived completely after';
const GAVE_WAY = 'others were waiting, and the request had not arrived completely';
const JSON_COPIES = 3; // its bytes, its text, and the base64 in it

interface Arriving {
  bytes: number;
  /** It does not come as fast as a body must that is to keep its place. */
  slow(): boolean;
  drop(why: AppError): void;
}

export function createReception(limits: ReceptionLimits, now: () => number = () => performance.now()): Reception {
  const arriving = new Set<Arriving>();
  const earlier = new WeakMap<Socket, number>(); // bytes read from a connection for the requests before
  let bytes = 0;

  function makeRoom(needed: number): void {
    const tooMany = () => arriving.size >= limits.count;
    const tooMuch = () => bytes + needed > limits.bytes;
    if (!tooMany() && !tooMuch()) return;
    const slow = [...arriving].filter((guest) => guest.slow());
    const movable = slow.reduce((sum, guest) => sum + guest.bytes, 0);
    if (tooMuch() && bytes - movable + needed > limits.bytes) {
      throw new AppError('overloaded', `${bytes} bytes of pictures are here or on their way already`);
    }
    for (const oldest of slow) if (tooMany() || tooMuch()) oldest.drop(new AppError('request-timeout', GAVE_WAY));
    for (const oldest of arriving) if (tooMany()) oldest.drop(new AppError('request-timeout', GAVE_WAY));
  }

  return {
    take(request, withinMs, drop) {
      const { socket } = request;
      const { 'content-length': length, 'content-type': type = '', 'content-encoding': coding } = request.headers;
      const announced = Math.min(limits.bodyBytes, length === undefined ? limits.bodyBytes : Number(length));
      const copies = length !== undefined && kindOf(type) === 'json' ? JSON_COPIES : 1;
      const begun = now();
      const before = (earlier.get(socket) ?? 0) + headBytes(request);
      const guest: Arriving = {
        slow() {
          const age = now() - begun;
          return age > limits.fairMs || (socket.bytesRead - before) * limits.fairMs < announced * age;
        },
        bytes: coding === undefined ? copies * announced : limits.bodyBytes,
        drop(why) {
          leave();
          drop(why);
        },
      };
      makeRoom(guest.bytes);
      bytes += guest.bytes;
      arriving.add(guest);
      const late = () =>
        guest.drop(
          new AppError(
            'request-timeout',
            `${LATE} ${withinMs} ms, its deadline: send it faster, or with a longer deadlineMs`,
          ),
        );
      // What lies unread because this process was busy has arrived: it is read before the check phase of the event loop.
      const overdue = () => setImmediate(() => arriving.has(guest) && late());
      const timer = setTimeout(overdue, withinMs);
      const arrived = () => {
        clearTimeout(timer);
        arriving.delete(guest);
        earlier.set(socket, socket.bytesRead);
      };
      let over = false;
      const leave = () => {
        arrived();
        if (over) return;
        over = true;
        bytes -= guest.bytes;
      };
      const weigh = (actual: number) => {
        if (over) return;
        bytes += actual - guest.bytes;
        guest.bytes = actual;
      };
      request.once('end', arrived);
      return { weigh, leave };
    },
  };
}

function headBytes({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  const fields = rawHeaders.reduce((sum, text) => sum + text.length + 2, 0); // ': ' or the end of the line
  return `${method} ${url} HTTP/1.1\r\n`.length + fields + 2;
}
