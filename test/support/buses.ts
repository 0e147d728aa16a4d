import type { Bus } from '../../shared/bus/bus.ts';
import { createMemoryBus } from '../../shared/bus/memory.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { startNats } from './nats-server.ts';
import { waitFor } from './wait.ts';

export interface TwoEnds {
  /** The side that asks. */
  asker: Bus;
  /** The side that answers; over NATS another connection. */
  answerer: Bus;
  /** Resolves when what `answerer` subscribed to is in effect. */
  settled(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const log = createLog('silent', 'test');

/** Every bus, for tests that hold for all of them. */
export const buses: [name: string, open: () => Promise<TwoEnds>][] = [
  [
    'memory',
    async () => {
      const bus = createMemoryBus();
      return { asker: bus, answerer: bus, settled: async () => {}, [Symbol.asyncDispose]: () => bus.close() };
    },
  ],
  [
    'NATS',
    async () => {
      const server = await startNats();
      const [asker, answerer] = ['asker', 'answerer'].map((name) => connectNats({ servers: [server.url], name, log }));
      const ends = { asker: asker as Bus, answerer: answerer as Bus };
      await waitFor(() => ends.asker.connected && ends.answerer.connected, 'both connections');
      return {
        ...ends,
        settled: () => ends.answerer.flush(),
        async [Symbol.asyncDispose]() {
          await Promise.all([ends.asker.close(), ends.answerer.close()]);
          await server.stop();
        },
      };
    },
  ],
];
