import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '../../../shared/request/errors.ts';
import { codingsOf, kindOf, TEXT_COPIES } from './body-kind.ts';

/** Bounds what requests hold while they arrive and until they are answered, so that slow senders shut nobody out. */
export interface Reception {
  /**
   * Takes a request whose headers have arrived; its body must have come and be weighed within `withinMs`. When there
   * are too many bytes, those give way that come too slowly, the oldest first, and when there are too many, any; `drop`
   * ends one. Throws AppError `overloaded` if not even that makes room.
   */
  take(request: IncomingMessage, withinMs: number, drop: (why: AppError) => void): Guest;
}

export interface Guest {
  /**
   * The body turns out to need so many bytes: until it is weighed, it counts as announced, or once as the largest, or
   * as more times as large as what is compressed usually is. Throws AppError `overloaded` if there is no room.
   */
  claim(bytes: number): void;
  /** The body has been read, and so many bytes are kept of it. */
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

const GAVE_WAY =
  'others were waiting, and the request had not arrived completely: send it again, faster (a longer deadlineMs would ' +
  'not have kept its place)';
const UNPACKED = 32; // times as many bytes as it has: what a compressed body is taken for until it is unpacked

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

  /** For so many bytes more, and so many requests. */
  function makeRoom(needed: number, places: number): void {
    const tooMany = () => arriving.size + places > limits.count;
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
      const { announced, held } = announce(request, limits.bodyBytes);
      const begun = now();
      const before = (earlier.get(socket) ?? 0) + headBytes(request);
      const guest: Arriving = {
        slow() {
          const age = now() - begun;
          return age > limits.fairMs || (socket.bytesRead - before) * limits.fairMs < announced * age;
        },
        bytes: held,
        drop(why) {
          leave();
          drop(why);
        },
      };
      makeRoom(guest.bytes, 1);
      bytes += guest.bytes;
      arriving.add(guest);
      let over = false;
      const settle = limitArrival(withinMs, (why) => guest.drop(why));
      const arrived = () => {
        if (arriving.delete(guest)) earlier.set(socket, socket.bytesRead);
      };
      const leave = () => {
        settle();
        arrived();
        if (over) return;
        over = true;
        bytes -= guest.bytes;
      };
      const weigh = (actual: number) => {
        settle();
        if (over) return;
        bytes += actual - guest.bytes;
        guest.bytes = actual;
      };
      const claim = (needed: number) => {
        if (over || needed <= guest.bytes) return;
        makeRoom(needed - guest.bytes, 0);
        if (over) return; // it had to give way itself
        bytes += needed - guest.bytes;
        guest.bytes = needed;
      };
      request.once('end', arrived);
      return { claim, weigh, leave };
    },
  };
}

/** The bytes that a body announces, and those that it counts as until it is weighed. */
function announce(request: IncomingMessage, most: number): { announced: number; held: number } {
  const { 'content-length': length, 'content-type': type = '' } = request.headers;
  const announced = Math.min(most, length === undefined ? most : Number(length));
  const copies = length !== undefined && kindOf(type) === 'json' ? TEXT_COPIES : 1;
  const times = codingsOf(request).length > 0 ? UNPACKED : 1;
  return { announced, held: copies * Math.min(most, times * announced) };
}

/** Calls `drop` unless the function that it returns, which ends the wait, is called within `withinMs`. */
function limitArrival(withinMs: number, drop: (why: AppError) => void): () => void {
  let settled = false;
  const late = `the request had not arrived, or been unpacked, after ${withinMs} ms, its deadline`;
  const advice = 'send it faster, or with a longer deadlineMs';
  // What lies unread because this process was busy has arrived: it is read before the check phase of the event loop.
  const overdue = () =>
    setImmediate(() => {
      if (!settled) drop(new AppError('request-timeout', `${late}: ${advice}`));
    });
  const timer = setTimeout(overdue, withinMs);
  return () => {
    settled = true;
    clearTimeout(timer);
  };
}

function headBytes({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  const fields = rawHeaders.reduce((sum, text) => sum + text.length + 2, 0); // ': ' or the end of the line
  return `${method} ${url} HTTP/1.1\r\n`.length + fields + 2;
}
