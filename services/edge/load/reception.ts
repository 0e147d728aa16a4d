import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '../../../shared/request/errors.ts';
import { codingsOf, kindOf, TEXT_COPIES } from './body-kind.ts';

/** Bounds the memory of requests from their headers to their answers, so that slow senders shut nobody out. */
export interface Reception {
  /**
   * Admits a request whose headers have arrived. Its body must be complete, and `resize` called, within `withinMs`. If
   * there are too many bytes, requests that arrive too slowly are evicted, the oldest first; if there are too many
   * requests, any may be. `evict` ends one. Throws AppError `overloaded` if even that makes no room.
   */
  admit(request: IncomingMessage, withinMs: number, evict: (why: AppError) => void): Place;
}

export interface Place {
  /**
   * The body turns out to need this many bytes. Until `resize` a body counts as announced; as the largest allowed if it
   * announces nothing; as a multiple if it is compressed. Throws AppError `overloaded` if there is no room.
   */
  claim(bytes: number): void;
  /** The body has been read, and this many bytes of it are kept. */
  resize(bytes: number): void;
  /** The request is over. */
  leave(): void;
}

interface ReceptionLimits {
  /** Requests still arriving. */
  count: number;
  /** All bodies together. */
  bytes: number;
  /** The largest body. */
  bodyBytes: number;
  /** Milliseconds in which a body must arrive to keep its place. Not the deadline, which callers choose themselves. */
  fairMs: number;
}

const GAVE_WAY =
  'others were waiting, and the request had not arrived completely: send it again, faster (a longer deadlineMs would ' +
  'not have kept its place)';
const UNPACKED = 32; // a compressed body counts as this many times its bytes until it is unpacked

interface Arriving {
  bytes: number;
  /** It arrives more slowly than a body must to keep its place. */
  slow(): boolean;
  evict(why: AppError): void;
}

export function createReception(limits: ReceptionLimits, now: () => number = () => performance.now()): Reception {
  const arriving = new Set<Arriving>();
  const earlier = new WeakMap<Socket, number>(); // bytes read from a connection for earlier requests
  let bytes = 0;

  /** Makes room for this many more bytes and requests. */
  function makeRoom(needed: number, places: number): void {
    const tooMany = () => arriving.size + places > limits.count;
    const tooMuch = () => bytes + needed > limits.bytes;
    if (!tooMany() && !tooMuch()) return;
    const slow = [...arriving].filter((place) => place.slow());
    const movable = slow.reduce((sum, place) => sum + place.bytes, 0);
    if (tooMuch() && bytes - movable + needed > limits.bytes) {
      throw new AppError('overloaded', `${bytes} bytes of pictures are here or on their way already`);
    }
    for (const oldest of slow) if (tooMany() || tooMuch()) oldest.evict(new AppError('request-timeout', GAVE_WAY));
    for (const oldest of arriving) if (tooMany()) oldest.evict(new AppError('request-timeout', GAVE_WAY));
  }

  return {
    admit(request, withinMs, evict) {
      const { socket } = request;
      const { announced, held } = announce(request, limits.bodyBytes);
      const begun = now();
      const before = (earlier.get(socket) ?? 0) + headBytes(request);
      const place: Arriving = {
        slow() {
          const age = now() - begun;
          return age > limits.fairMs || (socket.bytesRead - before) * limits.fairMs < announced * age;
        },
        bytes: held,
        evict(why) {
          leave();
          evict(why);
        },
      };
      makeRoom(place.bytes, 1);
      bytes += place.bytes;
      arriving.add(place);
      let over = false;
      const settle = limitArrival(withinMs, (why) => place.evict(why));
      const arrived = () => {
        if (arriving.delete(place)) earlier.set(socket, socket.bytesRead);
      };
      const leave = () => {
        settle();
        arrived();
        if (over) return;
        over = true;
        bytes -= place.bytes;
      };
      const resize = (actual: number) => {
        settle();
        if (over) return;
        bytes += actual - place.bytes;
        place.bytes = actual;
      };
      const claim = (needed: number) => {
        if (over || needed <= place.bytes) return;
        makeRoom(needed - place.bytes, 0);
        if (over) return; // it was evicted itself
        bytes += needed - place.bytes;
        place.bytes = needed;
      };
      request.once('end', arrived);
      return { claim, resize, leave };
    },
  };
}

/** The bytes that a body announces, and the bytes that it counts as until `resize`. */
function announce(request: IncomingMessage, most: number): { announced: number; held: number } {
  const { 'content-length': length, 'content-type': type = '' } = request.headers;
  const announced = Math.min(most, length === undefined ? most : Number(length));
  const copies = length !== undefined && kindOf(type) === 'json' ? TEXT_COPIES : 1;
  const times = codingsOf(request).length > 0 ? UNPACKED : 1;
  return { announced, held: copies * Math.min(most, times * announced) };
}

/** Calls `evict` after `withinMs`, unless the returned function was called by then. */
function limitArrival(withinMs: number, evict: (why: AppError) => void): () => void {
  let settled = false;
  const late = `the request had not arrived, or been unpacked, after ${withinMs} ms, its deadline`;
  const advice = 'send it faster, or with a longer deadlineMs';
  // Bytes that lie unread because this process was busy have arrived in time. They are read before the check phase of
  // the event loop, where `setImmediate` runs.
  const overdue = () =>
    setImmediate(() => {
      if (!settled) evict(new AppError('request-timeout', `${late}: ${advice}`));
    });
  const timer = setTimeout(overdue, withinMs);
  return () => {
    settled = true;
    clearTimeout(timer);
  };
}

function headBytes({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  const fields = rawHeaders.reduce((sum, text) => sum + text.length + 2, 0); // ': ' or the line end
  return `${method} ${url} HTTP/1.1\r\n`.length + fields + 2;
}
