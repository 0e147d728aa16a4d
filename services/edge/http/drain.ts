import type { IncomingMessage, Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds for requests that are in transit on open connections when a stop begins. */
const ON_THE_WAY_MS = 200;

/**
 * Returns a function that ends `server`: it takes no new connections, answers requests in flight and those that still
 * come on open connections, then cuts what is left, after `withinMs` at the latest. It relies on answers that close
 * their connections.
 */
export function createDrain(server: Server) {
  const inFlight = new Set<IncomingMessage>();
  let idle = () => {};
  server.on('request', (request, response) => {
    const { socket } = request;
    const leave = () => {
      socket.off('close', leave);
      inFlight.delete(request);
      if (inFlight.size === 0) idle();
    };
    inFlight.add(request);
    response.once('close', () => {
      if (request.complete || socket.destroyed) return leave();
      // It is answered, but its sender would lose the answer if the connection were cut before all is sent.
      request.once('end', leave);
      socket.once('close', leave);
    });
  });

  return async (close: () => Promise<unknown>, withinMs: number): Promise<void> => {
    const limit = sleep(withinMs, undefined, { ref: false });
    server.closeIdleConnections = () => {}; // `close` would cut off requests in transit
    const closed = close();
    await Promise.race([closed, limit, sleep(ON_THE_WAY_MS, undefined, { ref: false })]);
    const answered = new Promise<void>((resolve) => {
      idle = resolve;
    });
    if (inFlight.size > 0) await Promise.race([answered, limit]);
    // Open connections without a request, or with one that never ends, must not hold up the stop.
    server.closeAllConnections();
    await closed;
  };
}
