import { connect, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import type { Log } from '../../observe/log.ts';
import { type RateLimitedLog, rateLimited } from '../../observe/rate-limited-log.ts';
import type { Message } from '../../wire/message.ts';
import { type Bus, BusError } from '../bus.ts';
import type { NatsAccess } from './access.ts';
import { NatsInbox, toHeaders } from './inbox.ts';
import { request, requestMany } from './request.ts';
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
 * The bus over NATS. Returns at once and keeps trying to connect, for ever. While there is no connection, requests fail
 * with `disconnected` without waiting; so do those under way when it is lost. Subscriptions take effect on connecting.
 */
export function connectNats(options: NatsOptions): Bus {
  const link = new NatsLink(options);
  const { subscriptions } = link;
  const passOver = (subject: string, { payload }: Message) => {
    const said = Buffer.from(payload.subarray(0, 100)).toString();
    const cause = 'no expert sent it; a JetStream stream that stores these subjects would answer so, and must not';
    link.say('warn', `stray ${subject}`, { subject, reply: said, cause }, 'a reply that is no answer is passed over');
  };
  return {
    kind: 'nats',
    get connected() {
      return link.connection !== undefined;
    },
    opened: link.opened,
    get refused() {
      return subscriptions.refused;
    },
    request: (subject, payload, options) => request(() => link.inbox(), { ...options, subject, payload, passOver }),
    requestMany: (subject, waitMs) => requestMany(() => link.inbox(), subject, waitMs),
    publish(subject, { payload, headers }) {
      try {
        link.connection?.publish(subject, payload, { headers: toHeaders(headers) });
      } catch {
        // Closing: the message is lost, as without a connection.
      }
    },
    subscribe: (subject, handler, queue) => subscriptions.add(subject, handler, queue),
    async flush() {
      if (link.connection) await briefly(link.connection.flush());
    },
    close: () => link.close(),
  };
}

/** The connection, made and followed until it is closed. */
class NatsLink {
  readonly say: RateLimitedLog;
  readonly subscriptions: NatsSubscriptions;
  readonly #options: NatsOptions;
  readonly #tell: RateLimitedLog;
  readonly #opened = Promise.withResolvers<void>();
  #connection: NatsConnection | undefined;
  #inbox: NatsInbox | undefined;
  #connected = false;
  #closing = false;

  constructor(options: NatsOptions) {
    const { log } = options;
    this.#options = options;
    this.say = rateLimited(log);
    this.#tell = rateLimited(log, { atOnce: 10 });
    this.subscriptions = new NatsSubscriptions(log);
    this.#run().catch((error) => log.error({ err: error }, 'NATS connection given up'));
  }

  /** Undefined while there is none. */
  get connection(): NatsConnection | undefined {
    return this.#connected ? this.#connection : undefined;
  }

  /** Resolves with the first connection. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Throws BusError `disconnected`. */
  inbox(): NatsInbox {
    if (!this.#inbox || !this.#connected) throw new BusError('disconnected');
    return this.#inbox;
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.connection) await briefly(this.connection.drain());
    await this.#connection?.close();
  }

  async #run(): Promise<void> {
    const connection = await this.#connect();
    if (!connection) return;
    this.#connection = connection;
    if (this.#closing) return connection.close();
    const { servers, access, log } = this.#options;
    // The client has dropped the servers that it tried before this one. Servers that are set stay, even if the cluster
    // drops them.
    if (connection.getServers().length < servers.length) connection.setServers(servers);
    const inbox = new NatsInbox(connection, access?.inboxPrefix);
    this.#connected = true;
    this.#inbox = inbox;
    this.#opened.resolve();
    log.info({ server: connection.getServer() }, 'connected to NATS');
    this.subscriptions.open(connection);
    await this.#follow(connection, inbox);
  }

  /** A first connection is retried here and not by the client, so that its failures are logged and `close` works. */
  async #connect(): Promise<NatsConnection | undefined> {
    const { servers, name, access } = this.#options;
    while (!this.#closing) {
      try {
        return await connect({
          servers,
          name,
          maxReconnectAttempts: -1,
          noAsyncTraces: true, // each request would record a stack
          reconnectDelayHandler: createReconnectPace(),
          pingInterval: 10_000,
          timeout: 2000,
          ignoreAuthErrorAbort: true, // a rotated password must not end the connection for good
          ...access,
        });
      } catch (error) {
        const { message: reason } = error as Error;
        this.say('warn', `away ${reason}`, { servers, reason }, 'no connection to NATS, trying again');
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
    return undefined;
  }

  async #follow(connection: NatsConnection, inbox: NatsInbox): Promise<void> {
    for await (const event of connection.status()) {
      if (event.type === 'disconnect' || event.type === 'staleConnection') {
        this.#connected = false;
        inbox.refuse(); // replies under way are lost: the server drops what it cannot deliver
      }
      if (event.type === 'reconnect') this.#connected = true;
      if (event.type === 'error') this.#takeError(event.error, inbox);
      if (event.type === 'disconnect' || event.type === 'reconnect')
        this.#tell('warn', event.type, { event: event.type }, 'NATS connection');
    }
    this.#connected = false;
    inbox.refuse();
  }

  #takeError(error: Error, inbox: NatsInbox): void {
    if (error instanceof PermissionViolationError) {
      inbox.refuse(error.subject);
      if (this.subscriptions.refuse(error)) return; // once is enough in the log
    }
    this.say('error', error.message, { err: error }, 'NATS refused something');
  }
}

/**
 * Milliseconds between attempts. The client compares wall-clock times: once the clock is set back, its own attempts lie
 * in the future. It must then try every server once, whatever the clock says.
 */
function createReconnectPace(): () => number {
  const everyServer = 8; // more than a cluster has
  let latest = 0;
  let regardless = 0;
  return () => {
    const now = Date.now();
    if (now < latest) regardless = everyServer;
    latest = now;
    if (regardless === 0) return PAUSE_MS * (1 + Math.random() / 5); // spreads the clients of a broker
    regardless -= 1;
    return Number.NEGATIVE_INFINITY;
  };
}
