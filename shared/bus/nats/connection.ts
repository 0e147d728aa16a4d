import { connect, InvalidArgumentError, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import type { Log } from '../../observe/log.ts';
import { sparing } from '../../observe/sparing.ts';
import type { Message } from '../../wire/message.ts';
import { type Bus, BusError, type RequestOptions } from '../bus.ts';
import type { NatsAccess } from './access.ts';
import { NatsInbox, toHeaders } from './inbox.ts';
import { briefly, NatsSubscriptions } from './subscriptions.ts';

/** Milliseconds between two attempts to connect. */
const PAUSE_MS = 500;

export interface NatsOptions {
  servers: string[];
  name: string;
  log: Log;
  access?: NatsAccess;
}

/**
 * The bus over NATS. Returns at once and keeps trying to connect, for ever; until then, and whenever the connection is
 * lost, requests fail with `disconnected` without waiting, also those under way. Subscriptions made meanwhile take
 * effect on connecting.
 */
export function connectNats(options: NatsOptions): Bus {
  const { log } = options;
  let connection: NatsConnection | undefined;
  let inbox: NatsInbox | undefined;
  let connected = false;
  let closing = false;
  const opened = Promise.withResolvers<void>();
  const say = sparing(log);
  const tell = sparing(log, { atOnce: 10 });
  const subscriptions = new NatsSubscriptions(log);

  const following = (async () => {
    while (!closing) {
      try {
        // A first connection is retried here and not by the client, so that its failures are logged and close() works.
        connection = await connect({
          servers: options.servers,
          name: options.name,
          maxReconnectAttempts: -1,
          noAsyncTraces: true, // each request would record a stack
          reconnectDelayHandler: createReconnectPace(),
          pingInterval: 10_000,
          timeout: 2000,
          ignoreAuthErrorAbort: true, // a password being rotated must not end the connection for good
          ...options.access,
        });
        break;
      } catch (error) {
        const { message: reason } = error as Error;
        say('warn', `away ${reason}`, { servers: options.servers, reason }, 'no connection to NATS, trying again');
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
    if (!connection) return;
    if (closing) return connection.close();
    // The client has dropped those that it tried before this one. Set, a server stays even if its cluster drops it.
    if (connection.getServers().length < options.servers.length) connection.setServers(options.servers);
    connected = true;
    inbox = new NatsInbox(connection, options.access?.inboxPrefix);
    opened.resolve();
    log.info({ server: connection.getServer() }, 'connected to NATS');
    subscriptions.open(connection);
    for await (const event of connection.status()) {
      if (event.type === 'disconnect' || event.type === 'staleConnection') {
        connected = false;
        inbox.refuse(); // replies under way are lost: the server drops what it cannot deliver
      }
      if (event.type === 'reconnect') connected = true;
      if (event.type === 'error') takeError(event.error, inbox);
      if (event.type === 'disconnect' || event.type === 'reconnect')
        tell('warn', event.type, { event: event.type }, 'NATS connection');
    }
    connected = false;
    inbox.refuse();
  })();
  following.catch((error) => log.error({ err: error }, 'NATS connection given up'));

  function takeError(error: Error, inbox: NatsInbox): void {
    if (error instanceof PermissionViolationError) {
      inbox.refuse(error.subject);
      if (subscriptions.refuse(error)) return; // once is enough in the log
    }
    say('error', error.message, { err: error }, 'NATS refused something');
  }

  function use(): NatsInbox {
    if (!inbox || !connected) throw new BusError('disconnected');
    return inbox;
  }

  function passOver(subject: string, { payload }: Message): void {
    const said = Buffer.from(payload.subarray(0, 100)).toString();
    const cause = 'no expert sent it; a JetStream stream that stores these subjects would answer so, and must not';
    say('warn', `stray ${subject}`, { subject, reply: said, cause }, 'a reply that is no answer is passed over');
  }

  async function request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message> {
    const { headers, timeoutMs, accepts, signal } = options;
    if (signal?.aborted) throw new BusError('aborted');
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const abort = () => reject(new BusError('aborted'));
    const timer = setTimeout(() => reject(new BusError('timeout')), Math.max(1, timeoutMs));
    signal?.addEventListener('abort', abort);
    let stop = () => {};
    try {
      const onReply = (reply: Message) => {
        if (accepts?.(reply) === false) passOver(subject, reply);
        else resolve(reply);
      };
      stop = use().ask(subject, payload, headers, { onReply, onFailure: reject });
      return await promise;
    } catch (error) {
      throw toBusError(error);
    } finally {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async function requestMany(subject: string, waitMs: number): Promise<Message[]> {
    const replies: Message[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitMs);
    const onFailure = (error: BusError) => {
      if (error.failure === 'no-responders') resolve();
      else if (error.failure !== 'unreadable') reject(error);
    };
    let stop = () => {};
    try {
      stop = use().ask(subject, new Uint8Array(), {}, { onReply: (reply) => void replies.push(reply), onFailure });
      await promise;
      return replies;
    } finally {
      stop();
      clearTimeout(timer);
    }
  }

  return {
    kind: 'nats',
    get connected() {
      return connected;
    },
    opened: opened.promise,
    get refused() {
      return subscriptions.refused;
    },
    request,
    requestMany,
    publish(subject, { payload, headers }) {
      try {
        if (connection && connected) connection.publish(subject, payload, { headers: toHeaders(headers) });
      } catch {
        // Closing: as lost as without a connection.
      }
    },
    subscribe(subject, handler, queue) {
      return subscriptions.add(subject, handler, queue);
    },
    async flush() {
      if (connection && connected) await briefly(connection.flush());
    },
    async close() {
      closing = true;
      if (connection && connected) await briefly(connection.drain());
      await connection?.close();
    },
  };
}

/**
 * Milliseconds from one attempt at a server to the next. The client compares wall-clock times, and once the clock is
 * set back those of its attempts are still to come: it must then try every server once whatever the clock says.
 */
function createReconnectPace(): () => number {
  const everyServer = 8; // more than a cluster has
  let latest = 0;
  let regardless = 0;
  return () => {
    const now = Date.now();
    if (now < latest) regardless = everyServer;
    latest = now;
    if (regardless === 0) return PAUSE_MS * (1 + Math.random() / 5); // not all clients of a broker at once
    regardless -= 1;
    return Number.NEGATIVE_INFINITY;
  };
}

function toBusError(error: unknown): BusError {
  if (error instanceof BusError) return error;
  if (error instanceof InvalidArgumentError) return new BusError('too-large', { cause: error });
  return new BusError('disconnected', { cause: error });
}
