import { type Bundle, loadBundle } from '../../shared/bundle/load.ts';
import { startCollector } from '../support/collector.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { type ServiceProcess, spawnService, waitForLog } from '../support/service.ts';
import { makeTinyBundle, type TinyOptions } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';
import { createCrowds, startBlackHole } from './crowds.ts';
import { startLink } from './link.ts';

export interface WorldOptions {
  bundle?: TinyOptions;
  edge?: Record<string, string>;
  /** File descriptor for the edge's log; default: kept. */
  edgeLog?: number;
  /** The trace collector, if it does not work. */
  collector?: 'down' | 'silent';
}

export type ExpertName = 'warm' | 'cold';

/**
 * The system as people run it: a nats-server, an edge that reaches it over a link, two experts, a trace collector, each
 * a process of its own but the link and the collector.
 */
export async function startWorld(options: WorldOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const files = stack.use(await makeTinyBundle(options.bundle));
  const bundle: Bundle = await loadBundle(files.directory);
  const monitor = await freePort();
  let broker = await startNats({ args: ['-m', String(monitor)] });
  stack.defer(() => broker.stop());
  const link = stack.use(await startLink(broker.port));
  const collector = stack.use(await startCollector());
  const base = { ASK_MODELS_DIR: files.directory, ASK_WORKERS: '1', ASK_CACHE_BYTES: '0' };
  const broken = {
    down: async () => `http://127.0.0.1:${await freePort()}`,
    silent: async () => stack.use(await startBlackHole()).url,
  };
  const endpoint = options.collector && { OTEL_EXPORTER_OTLP_ENDPOINT: await broken[options.collector]() };
  const tracing = { ...collector.env, ...endpoint };

  const experts = {} as Record<ExpertName, ServiceProcess>;
  const startExpert = async (name: ExpertName) => {
    experts[name] = spawnService('expert', { ...base, NATS_URL: broker.url, ASK_EXPERTS: name });
    await waitForLog(experts[name], 'experts are ready');
    await waitForLog(experts[name], 'connected to NATS');
  };
  stack.defer(async () => {
    for (const expert of Object.values(experts)) await expert[Symbol.asyncDispose]();
  });
  await Promise.all([startExpert('warm'), startExpert('cold')]);

  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { ...base, ...tracing, NATS_URL: link.url, PORT: String(port), ...options.edge };
  const stderr = options.edgeLog === undefined ? {} : { stderr: options.edgeLog };
  const edge = stack.use(spawnService('edge', env, [], stderr));
  const status = async (): Promise<{ bus: { connected: boolean } } | undefined> =>
    fetch(`${url}/readyz`).then(
      (response) => (response.ok ? (response.json() as never) : undefined),
      () => undefined,
    );
  await waitFor(async () => (await status())?.bus.connected === true, 'the edge to be ready');

  const crowds = createCrowds(url);
  stack.defer(() => crowds.disperse());
  const running = stack.move();
  return {
    url,
    edge,
    experts,
    startExpert,
    link,
    crowds,
    bundle,
    spans: collector.spans,
    get broker() {
      return broker;
    },
    async restartBroker() {
      broker = await startNats({ port: broker.port, args: ['-m', String(monitor)] });
    },
    /** Subscriptions of the edge at the broker. */
    async subscriptions(): Promise<number> {
      const connections = await (await fetch(`http://127.0.0.1:${monitor}/connz`)).json();
      const { connections: all } = connections as { connections: { name: string; subscriptions: number }[] };
      return all.filter(({ name }) => name === 'ask-edge').reduce((sum, { subscriptions }) => sum + subscriptions, 0);
    },
    metrics: async () => (await fetch(`${url}/metrics`)).text(),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export type World = Awaited<ReturnType<typeof startWorld>>;
