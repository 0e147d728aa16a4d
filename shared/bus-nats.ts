import { connect, InvalidArgumentError, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { type Bus, BusError, type BusHeaders, type Reply, type RequestOptions, type Subscription } from './bus.ts';
import { AppError } from './errors.ts';
import type { Log } from './log.ts';
import type { NatsAccess } from './nats-access.ts';
import { fromMessage, NatsInbox, toHeaders } from './nats-inbox.ts';
import { encodeError } from './wire.ts';

export interface NatsOptions {
  servers: string[];
  name: string;
  log: Log;
  access?: NatsAccess;
}

/**
 * The bus over NATS. Returns at once and keeps trying to connect, for ever; until then, and whenever the connection is
 * lost, requests fail with `disconnected` without waiting, also those under way. Subscriptions made meanwhile take effect
 * on connecting.
 */
export function connectNats(options: NatsOptions): Bus {
  const { log } = options;
  let connection: NatsConnection | undefined;
  let inbox: NatsInbox | undefined;
  let connected = false;
  let closing = false;
  const waiting: ((connection: NatsConnection) => void)[] = [];

  const following = (async () => {
    while (!closing) {
      try {
        // A first connection is retried here and not by the client, so that its failures are logged and close() works.
        connection = await connect({
          servers: options.servers,
          name: options.name,
          maxReconnectAttempts: -1,
          noAsyncTraces: true, // each request would record a stack
          reconnectTimeWait: 500,
          pingInterval: 10_000,
          timeout: 2000,
          ignoreAuthErrorAbort: true, // a password being rotated must not end the connection for good
          ...options.access,
        });
        break;
      } catch (error) {
        log.warn({ servers: options.servers, reason: (error as Error).message }, 'no connection to NATS, trying again');
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
    if (!connection) return;
    if (closing) return connection.close();
    connected = true;
    inbox = new NatsInbox(connection, options.access?.inboxPrefix);
    log.info({ server: connection.getServer() }, 'connected to NATS');
    for (const start of waiting.splice(0)) start(connection);
    for await (const event of connection.status()) {
      if (event.type === 'disconnect' || event.type === 'staleConnection') {
        connected = false;
        inbox.refuse(); // replies under way are lost: the server drops what it cannot deliver
      }
      if (event.type === 'reconnect') connected = true;
      if (event.type === 'error') {
        log.error({ err: event.error }, 'NATS refused something');
        if (event.error instanceof PermissionViolationError) inbox.refuse(event.error.subject);
      }
      if (event.type === 'disconnect' || event.type === 'reconnect') log.warn({ event: event.type }, 'NATS connection');
    }
    connected = false;
    inbox.refuse();
  })();
  following.catch((error) => log.error({ err: error }, 'NATS connection given up'));

  function use(): NatsInbox {
    if (!inbox || !connected) throw new BusError('disconnected');
    return inbox;
  }

  async function request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Reply> {
    const { headers, timeoutMs, signal } = options;
    if (signal?.aborted) throw new BusError('aborted');
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const abort = () => reject(new BusError('aborted'));
    const timer = setTimeout(() => reject(new BusError('timeout')), Math.max(1, timeoutMs));
    signal?.addEventListener('abort', abort);
    let stop = () => {};
    try {
      stop = use().ask(subject, payload, headers, { onReply: resolve, onFailure: reject });
      return await promise;
    } catch (error) {
      throw toBusError(error);
    } finally {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async function requestMany(subject: string, waitMs: number): Promise<Reply[]> {
    const replies: Reply[] = [];
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
      let subscription: Subscription | undefined;
      let drained = false;
      const start = (on: NatsConnection) => {
        if (drained) return;
        subscription = on.subscribe(subject, {
          ...(queue === undefined ? {} : { queue }),
          callback: (error, message) => {
            if (error) return log.error({ err: error, subject }, 'NATS subscription failed');
            const respond = (payload: Uint8Array, headers: BusHeaders) =>
              void message.respond(payload, { headers: toHeaders(headers) });
            try {
              handler({ ...fromMessage(message), subject: message.subject, respond });
            } catch (thrown) {
              // Headers are parsed here, and an exception would end the client's reading of the whole connection.
              log.warn({ subject, reason: (thrown as Error).message }, 'unreadable message');
              const { payload, headers } = encodeError(new AppError('invalid-body', 'the message cannot be read'));
              respond(payload, headers);
            }
          },
        });
      };
      if (connection) start(connection);
      else waiting.push(start);
      return {
        async drain() {
          drained = true;
          await subscription?.drain().catch(() => {}); // refused or closed: nothing is left to drain
        },
      };
    },
    async flush() {
      if (connection && connected) await connection.flush();
    },
    async close() {
      closing = true;
      if (connection && connected) await connection.drain();
      else await connection?.close();
    },
  };
}

function toBusError(error: unknown): BusError {
  if (error instanceof BusError) return error;
  if (error instanceof InvalidArgumentError) return new BusError('too-large', { cause: error });
  return new BusError('disconnected', { cause: error });
}
