import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startNats } from '../support/nats-server.ts';
import { type ServiceProcess, spawnService, waitForLog } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';
import { saturation } from './saturation.ts';
import { startTraffic } from './traffic.ts';

export interface RollOut {
  requests: number;
  perSecond: number;
  /** Anything but 200. */
  failed: number;
  degraded: number;
  restarts: number;
}

interface Edge {
  url: string;
  process: ServiceProcess;
}

/**
 * Two edges, two instances of every expert, and clients that do not try again: `perSecond`, by default half of what the
 * system can take. Each service in turn is taken out of rotation, stopped with SIGTERM and started anew, until
 * `requests` have been sent and every one was restarted at least once. A balancer's part, not to send to an edge that
 * was taken out, is the clients'.
 */
export async function rollOut(requests: number, perSecond?: number): Promise<RollOut> {
  await using stack = new AsyncDisposableStack();
  const files = stack.use(await makeTinyBundle());
  const nats = stack.use(await startNats());
  const env = {
    ASK_MODELS_DIR: files.directory,
    ASK_WORKERS: '1',
    ASK_CACHE_BYTES: '0',
    NATS_URL: nats.url,
    LOG_LEVEL: 'info',
  };
  const running = new Set<ServiceProcess>();
  stack.defer(async () => {
    for (const service of running) await service[Symbol.asyncDispose]();
  });

  const startExpert = async (expert: string): Promise<ServiceProcess> => {
    const service = spawnService('expert', { ...env, ASK_EXPERTS: expert });
    running.add(service);
    await waitForLog(service, 'experts are ready');
    await waitForLog(service, 'connected to NATS');
    return service;
  };
  const startEdge = async (): Promise<Edge> => {
    const port = await freePort();
    const service = spawnService('edge', { ...env, PORT: String(port) });
    running.add(service);
    const url = `http://127.0.0.1:${port}`;
    const ready = async () => {
      const status = await fetch(`${url}/readyz`).then(
        (response) => (response.ok ? response.json() : undefined),
        () => undefined,
      );
      return (status as { bus: { connected: boolean } } | undefined)?.bus.connected === true;
    };
    await waitFor(ready, 'an edge to be ready');
    return { url, process: service };
  };
  const stop = async (service: ServiceProcess) => {
    service.kill('SIGTERM');
    const status = await service.exited;
    running.delete(service);
    if (status !== 0) throw new Error(`a stop ended with ${status}:\n${service.log()}`);
  };

  const experts = await Promise.all(
    ['warm', 'warm', 'cold', 'cold'].map(async (name) => [name, await startExpert(name)] as const),
  );
  const edges = await Promise.all([startEdge(), startEdge()]);
  const rotation = edges.map(({ url }) => url);
  const rate = perSecond ?? (await saturation(rotation)) / 2;
  const traffic = await startTraffic({
    url: (count) => rotation[count % rotation.length] as string,
    perSecond: rate,
    deadlineMs: 5000,
  });
  await sleep(1000);

  let restarts = 0;
  for (let i = 0; traffic.sent < requests || restarts < experts.length + edges.length; i++) {
    const slot = i % (experts.length + edges.length);
    if (slot < experts.length) {
      const [name, service] = experts[slot] as (typeof experts)[number];
      await stop(service);
      experts[slot] = [name, await startExpert(name)];
    } else {
      const edge = edges[slot - experts.length] as Edge;
      rotation.splice(rotation.indexOf(edge.url), 1);
      await stop(edge.process);
      const next = await startEdge();
      edges[slot - experts.length] = next;
      rotation.push(next.url);
    }
    restarts += 1;
  }
  await traffic.stop();
  const { outcomes } = traffic;
  return {
    requests: traffic.sent,
    perSecond: Math.round(rate),
    failed: traffic.sent - outcomes.filter(({ status }) => status === 200).length,
    degraded: outcomes.filter(({ degraded }) => degraded !== null).length,
    restarts,
  };
}
