import type { Registry } from 'prom-client';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { createDecoder } from '../../shared/imaging/decoder.ts';
import { createPool } from '../../shared/inference/create-pool.ts';
import { warmGolden } from '../../shared/inference/golden.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { toRunnable } from '../../shared/inference/runnable.ts';
import { createEdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import type { Log } from '../../shared/observe/log.ts';
import { createPace } from '../../shared/request/pace.ts';
import { batchOf, type Config } from '../../shared/settings/settings.ts';
import { createCache } from './cache.ts';
import { type ArrivalsOptions, watchArrivals } from './experts/arrivals.ts';
import { type CircuitChange, createExpertHealth, type ExpertHealth } from './experts/circuit.ts';
import { createDirectory } from './experts/directory.ts';
import { createHedgeBudget } from './experts/hedge.ts';
import { createJournal } from './experts/journal.ts';
import { choosePayload, choosePixels } from './experts/payload.ts';
import { type AppDependencies, buildApp } from './http/app.ts';
import { createDrain } from './http/drain.ts';
import { openKeys } from './keys/guard.ts';
import { createAdmission } from './load/admission.ts';
import { createReception } from './load/reception.ts';
import { strategyNames } from './strategies/list.ts';

export interface EdgeService {
  /** Where the HTTP server listens, e.g. `http://127.0.0.1:8080`. */
  url: string;
  dependencies: AppDependencies;
  /** Refuses new requests, answers those in flight, ends the model processes. */
  stop(): Promise<void>;
}

export interface EdgeOptions {
  bus: Bus;
  bundle: Bundle;
  config: Config;
  log: Log;
  /** The experts are in this process. */
  near?: boolean;
  /** Experts that start at the same time: for so long, whoever would ask one waits for it. Default: none. */
  expected?: Pick<ArrivalsOptions, 'experts' | 'graceMs'>;
  /** Where the metrics go. Default: a registry of their own. */
  registry?: Registry;
  /** Runs the models, and is the caller's to stop. Default: the service's own. */
  pool?: InferencePool;
}

const RECEIVING = 4; // times as many may be sending as are answered at once
const LARGEST_BODIES = 3; // so many of the largest size fit into the memory for bodies

/**
 * Listens, then loads, warms and checks the generalist; ready when this resolves. Throws BundleError and ConfigError.
 */
export async function startEdge(options: EdgeOptions): Promise<EdgeService> {
  const { bus, bundle, config, log, near = false } = options;
  const model = toRunnable(bundle, bundle.manifest.generalist);
  const keys = await openKeys(config, log);
  let phase: ReturnType<AppDependencies['phase']> = 'starting';
  const batch = batchOf(config, 'generalist');
  const pool = options.pool ?? createPool(config, config.ASK_EDGE_QUEUE, log);
  const pace = createPace(config.ASK_WORKERS, batch);
  const admission = createAdmission(config.ASK_EDGE_QUEUE, pace);
  const { labels, experts } = bundle.manifest;
  const journal = createJournal(log);
  const directory = createDirectory(bus);
  const arrivals = watchArrivals({ bus, directory, log, ...(options.expected ?? { experts: [], graceMs: 0 }) });
  const state = {
    strategies: strategyNames,
    labels,
    experts: experts.map(({ id }) => id),
    holders: () => keys?.names() ?? [],
    waiting: () => pool.waiting,
    circuits: () => [...healths].map(([expert, { state }]) => ({ expert, state })),
  };
  const metrics = createEdgeMetrics(state, options.registry);
  const healths = new Map(
    experts.map(({ id }) => {
      const changed = (change: CircuitChange) => {
        journal.circuit(id, change);
        if (change.state !== 'closed') metrics.openings.inc({ expert: id, reason: change.degraded ?? 'timeout' });
      };
      return [id, createExpertHealth(() => performance.now(), changed)];
    }),
  );
  const dependencies: AppDependencies = {
    admission,
    reception: createReception({
      count: RECEIVING * config.ASK_EDGE_QUEUE,
      bytes: LARGEST_BODIES * config.ASK_MAX_BODY_BYTES,
      bodyBytes: config.ASK_MAX_BODY_BYTES,
      fairMs: config.ASK_DEADLINE_MS,
    }),
    keys,
    bundle,
    bus,
    log,
    pack: near ? choosePixels : (image, original) => choosePayload(image, original, bundle.manifest.routing.encoding),
    generalist: (image, deadline) => pool.run(model, image.pixels, { batch, deadline }),
    health: (expert) => healths.get(expert) as ExpertHealth,
    secondChoice: config.ASK_SECOND_CHOICE,
    hedges: near ? createHedgeBudget(0) : createHedgeBudget(), // all experts of one process are slow together
    sheds: (deadline) => admission.sheds(deadline.milliseconds),
    pace,
    cache: createCache(config.ASK_CACHE_BYTES, config.ASK_CACHE_TTL_S),
    arrivals,
    journal,
    directory,
    metrics,
    decode: createDecoder(bundle.manifest.input, config.ASK_MAX_PIXELS),
    corsOrigins: config.ASK_CORS_ORIGINS,
    maxBodyBytes: config.ASK_MAX_BODY_BYTES,
    deadlineMs: config.ASK_DEADLINE_MS,
    phase: () => phase,
    works: () => pool.works(model),
  };
  const app = await buildApp(dependencies);
  const drain = createDrain(app.server);
  const stop = async () => {
    phase = 'stopping';
    keys?.close();
    arrivals.stop();
    await drain(() => app.close(), 0.7 * config.ASK_DRAIN_MS);
    if (options.pool === undefined) await pool.stop();
  };
  try {
    // For `localhost` Fastify opens a second server, on ::1, without what `app.ts` hangs on the first.
    const host = config.HOST === 'localhost' ? '127.0.0.1' : config.HOST;
    const url = await app.listen({ host, port: config.PORT });
    await warmGolden(pool, [model], bundle, log);
    phase = 'ready';
    const awaited = experts.map(({ id }) => id).filter(arrivals.expects);
    log.info({ ...(awaited.length > 0 && { awaited }), url }, 'ready');
    return { url, dependencies, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
