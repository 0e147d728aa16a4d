import { setImmediate } from 'node:timers/promises';
import { type ConnectionOptions, connect, errors, type NatsConnection } from '@nats-io/transport-node';

export interface Violation {
  operation: string;
  subject: string;
}

/** A connection that notes what the broker forbade it. */
export async function join(options: ConnectionOptions) {
  const connection = await connect({ inboxPrefix: '_INBOX_edge', ...options, reconnect: false });
  const violations: Violation[] = [];
  const watching = (async () => {
    for await (const status of connection.status()) {
      if (status.type !== 'error') continue;
      const { error } = status;
      if (!(error instanceof errors.PermissionViolationError)) throw error;
      violations.push({ operation: error.operation, subject: error.subject });
    }
  })();
  return {
    connection,
    /** Everything forbidden so far: the broker answers in order, and has answered a ping by now. */
    async violations() {
      await connection.flush();
      await setImmediate();
      return violations;
    },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await watching;
    },
  };
}

export function answer(connection: NatsConnection, subject: string, queue: string | undefined, reply: string) {
  connection.subscribe(subject, { queue, callback: (_, message) => void message?.respond(reply) });
}
