import type { IncomingMessage, Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds for requests that are on their way on open connections when a stop begins. */
const ON_THE_WAY_MS = 200;

/**
 * Returns what ends `server`: takes no new connections, answers what comes on those that are open and all that is in
 * flight, and cuts what is left then, or after `withinMs`. It relies on answers that end their connections.
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
      // It has its answer, and its sender would lose that if the connection were cut before all is sent.
      request.once('end', leave);
      socket.once('close', leave);
    });
  });

  return async (close: () => Promise<unknown>, withinMs: number): Promise<void> => {
    const limit = sleep(withinMs, undefined, { ref: false });
    server.closeIdleConnections = () => {}; // `close` would cut off requests that are on their way
    const closed = close();
    await Promise.race([closed, limit, sleep(ON_THE_WAY_MS, undefined, { ref: false })]);
    const answered = new Promise<void>((resolve) => {
      idle = resolve;
    });
    if (inFlight.size > 0) await Promise.race([answered, limit]);
    // Connections that are open without a request, or never finish sending one, must not hold up the stop.
    server.closeAllConnections();
    await closed;
  };
}
