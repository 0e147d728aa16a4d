import type { Registry } from 'prom-client';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { createDecoder } from '../../shared/imaging/decoder.ts';
import { createPool } from '../../shared/inference/create-pool.ts';
import { warmGolden } from '../../shared/inference/golden.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { type RunnableModel, toRunnable } from '../../shared/inference/runnable.ts';
import { createEdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import type { Log } from '../../shared/observe/log.ts';
import { createBacklog } from '../../shared/request/backlog.ts';
import { batchOf, type Config } from '../../shared/settings/settings.ts';
import { createCache } from './cache.ts';
import { type Arrivals, watchArrivals } from './experts/arrivals.ts';
import type { ExpertHealth } from './experts/circuit.ts';
import { createDirectory } from './experts/directory.ts';
import { createExpertLog } from './experts/expert-log.ts';
import { createExperts } from './experts/experts.ts';
import { openHealths } from './experts/healths.ts';
import { createHedgeBudget } from './experts/hedge-budget.ts';
import { buildApp } from './http/app.ts';
import type { AppDependencies } from './http/dependencies.ts';
import { createDrain } from './http/drain.ts';
import { createQuery } from './http/query.ts';
import { openKeys } from './keys/guard.ts';
import type { KeyRing } from './keys/key-ring.ts';
import { createAdmission } from './load/admission.ts';
import { createReception, type Reception } from './load/reception.ts';
import { createModels } from './models.ts';
import { type AnyStrategy, strategies as shipped } from './strategies/list.ts';
import { type PreparedStrategy, prepareStrategies } from './strategies/prepare.ts';

export interface EdgeService {
  /** Where the HTTP server listens, e.g. `http://127.0.0.1:8080`. */
  url: string;
  dependencies: AppDependencies;
  /** Refuses new requests, answers those in flight, ends the model processes. */
  stop(): Promise<void>;
}

interface EdgeOptions {
  bus: Bus;
  bundle: Bundle;
  config: Config;
  log: Log;
  /** The experts are in this process. */
  near?: boolean;
  /** Experts that start at the same time. For `graceMs`, requests that would ask one wait for it. Default: none. */
  expected?: { experts: string[]; graceMs: number };
  /** Default: a new registry. */
  registry?: Registry;
  /** Runs the models; the caller stops it. Default: the service's own. */
  pool?: InferencePool;
  /** The kinds of strategies that the bundle may use. Default: all that ship. */
  strategies?: AnyStrategy[];
  /**
   * Whether slow experts are hedged: the runner-up is asked too. Default: unless `near`, since all experts of one
   * process are slow together.
   */
  hedges?: boolean;
}

const RECEIVING = 4; // times as many requests may be arriving as are answered at once
const LARGEST_BODIES = 3; // this many of the largest bodies fit into the memory for bodies

/**
 * Listens, then loads, warms and checks this device's models. Resolves when ready. Throws BundleError and ConfigError.
 */
export async function startEdge(options: EdgeOptions): Promise<EdgeService> {
  const { bundle, config, log } = options;
  const strategies = prepareStrategies(bundle, options.strategies ?? shipped);
  const models = new Map(bundle.here.map((id) => [id, toRunnable(bundle, id)]));
  const keys = await openKeys(config, log);
  const pool = options.pool ?? createPool(config, config.ASK_EDGE_QUEUE, log);
  let phase: ReturnType<AppDependencies['phase']> = 'starting';
  const wiring = wire(options, { strategies, models, keys, pool });
  const dependencies: AppDependencies = { ...wiring.dependencies, phase: () => phase };
  const app = await buildApp(dependencies);
  const drain = createDrain(app.server);
  const stop = async () => {
    phase = 'stopping';
    keys?.close();
    wiring.arrivals.stop();
    await drain(() => app.close(), 0.7 * config.ASK_DRAIN_MS);
    if (options.pool === undefined) await pool.stop();
  };
  try {
    // For `localhost` Fastify opens a second server, on ::1, without the handlers that `app.ts` adds to the first.
    const host = config.HOST === 'localhost' ? '127.0.0.1' : config.HOST;
    const url = await app.listen({ host, port: config.PORT });
    await warmGolden(pool, [...models.values()], bundle, log);
    phase = 'ready';
    const awaited = bundle.there.filter(wiring.arrivals.expects);
    log.info({ ...(awaited.length > 0 && { awaited }), url }, 'ready');
    return { url, dependencies, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Loaded {
  strategies: Map<string, PreparedStrategy>;
  /** This device's models, by id. */
  models: Map<string, RunnableModel>;
  keys: KeyRing | undefined;
  pool: InferencePool;
}

/** Makes the parts of the edge and connects them. */
function wire(
  options: EdgeOptions,
  { strategies, models, keys, pool }: Loaded,
): { dependencies: Omit<AppDependencies, 'phase'>; arrivals: Arrivals } {
  const { bus, bundle, config, log, near = false } = options;
  const batch = batchOf(config, 'generalist');
  const backlog = createBacklog(config.ASK_WORKERS, batch);
  const admission = createAdmission(config.ASK_EDGE_QUEUE, backlog);
  const directory = createDirectory(bus);
  const { experts, graceMs } = options.expected ?? { experts: [], graceMs: 0 };
  const awaitable = experts.map((id) => ({ id, sha256: bundle.manifest.models[id]?.sha256 as string }));
  const arrivals = watchArrivals({ bus, directory, log, experts: awaitable, graceMs });
  const healths = new Map<string, ExpertHealth>();
  const state = {
    strategies: [...strategies.keys()],
    labels: bundle.manifest.labels,
    experts: bundle.there,
    holders: () => keys?.names() ?? [],
    waiting: () => pool.waiting,
    circuits: () => [...healths].map(([expert, { state }]) => ({ expert, state })),
  };
  const metrics = createEdgeMetrics(state, options.registry);
  const expertLog = createExpertLog(log);
  openHealths(healths, bundle.there, { expertLog, metrics });
  const health = (expert: string) => healths.get(expert) as ExpertHealth;
  const dependencies = {
    admission,
    reception: openReception(config),
    keys,
    bundle,
    bus,
    log,
    strategies,
    querySchema: createQuery(strategies),
    here: createModels(models, pool, batch),
    there: createExperts({
      bundle,
      bus,
      near,
      health,
      secondChoice: config.ASK_SECOND_CHOICE,
      hedges: (options.hedges ?? !near) ? createHedgeBudget() : createHedgeBudget(0),
      arrivals,
      expertLog,
      metrics,
      sheds: (deadline) => admission.sheds(deadline.milliseconds),
    }),
    health,
    backlog,
    cache: createCache(config.ASK_CACHE_BYTES, config.ASK_CACHE_TTL_S),
    directory,
    metrics,
    decode: createDecoder(config.ASK_MAX_PIXELS),
    corsOrigins: config.ASK_CORS_ORIGINS,
    maxBodyBytes: config.ASK_MAX_BODY_BYTES,
    deadlineMs: config.ASK_DEADLINE_MS,
    works: () => [...models.values()].every((model) => pool.works(model)),
  };
  return { dependencies, arrivals };
}

function openReception(config: Config): Reception {
  return createReception({
    count: RECEIVING * config.ASK_EDGE_QUEUE,
    bytes: LARGEST_BODIES * config.ASK_MAX_BODY_BYTES,
    bodyBytes: config.ASK_MAX_BODY_BYTES,
    fairMs: config.ASK_DEADLINE_MS,
  });
}
