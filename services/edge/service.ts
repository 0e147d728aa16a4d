import type { Registry } from 'prom-client';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { createDecoder } from '../../shared/imaging/decoder.ts';
import { createPool } from '../../shared/inference/create-pool.ts';
import { warmGolden } from '../../shared/inference/golden.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { type RunnableModel, toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import { createEdgeMetrics, type EdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import type { Log } from '../../shared/observe/log.ts';
import { createPace } from '../../shared/request/pace.ts';
import { batchOf, type Config } from '../../shared/settings/settings.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import { createCache } from './cache.ts';
import { type Arrivals, watchArrivals } from './experts/arrivals.ts';
import { type CircuitChange, createExpertHealth, type ExpertHealth } from './experts/circuit.ts';
import { createDirectory } from './experts/directory.ts';
import { createExperts, type Experts } from './experts/experts.ts';
import { createHedgeBudget } from './experts/hedge-budget.ts';
import { createJournal } from './experts/journal.ts';
import { buildApp } from './http/app.ts';
import type { AppDependencies } from './http/dependencies.ts';
import { createDrain } from './http/drain.ts';
import { createQuery } from './http/query.ts';
import { openKeys } from './keys/guard.ts';
import { type Admission, createAdmission } from './load/admission.ts';
import { createReception } from './load/reception.ts';
import { type AnyStrategy, strategies as shipped } from './strategies/list.ts';
import { prepareStrategies } from './strategies/prepare.ts';

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
  expected?: { experts: string[]; graceMs: number };
  /** Where the metrics go. Default: a registry of their own. */
  registry?: Registry;
  /** Runs the models, and is the caller's to stop. Default: the service's own. */
  pool?: InferencePool;
  /** What the bundle's strategies may be. Default: all that ship. */
  strategies?: AnyStrategy[];
  /** Whether the runner-up may be asked for slowness. Default: unless `near`, for all experts of one process are slow together. */
  hedges?: boolean;
}

const RECEIVING = 4; // times as many may be sending as are answered at once
const LARGEST_BODIES = 3; // so many of the largest size fit into the memory for bodies

/** Listens, then loads, warms and checks this device's models; ready when this resolves. Throws BundleError and ConfigError. */
export async function startEdge(options: EdgeOptions): Promise<EdgeService> {
  const { bus, bundle, config, log } = options;
  const strategies = prepareStrategies(bundle, options.strategies ?? shipped);
  const models = new Map(bundle.here.map((id) => [id, toRunnable(bundle, id)]));
  const keys = await openKeys(config, log);
  let phase: ReturnType<AppDependencies['phase']> = 'starting';
  const batch = batchOf(config, 'generalist');
  const pool = options.pool ?? createPool(config, config.ASK_EDGE_QUEUE, log);
  const pace = createPace(config.ASK_WORKERS, batch);
  const admission = createAdmission(config.ASK_EDGE_QUEUE, pace);
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
  const there = openExperts(options, { healths, arrivals, metrics, admission });
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
    strategies,
    querySchema: createQuery(strategies),
    here: {
      run(id, input, deadline) {
        const model = models.get(id) as RunnableModel;
        const inputs = 'pixels' in input && input.pixels instanceof Uint8Array ? toInputs(model, input.pixels) : input;
        return pool.run(model, inputs as Tensors, { batch, deadline });
      },
    },
    there,
    health: (expert) => healths.get(expert) as ExpertHealth,
    pace,
    cache: createCache(config.ASK_CACHE_BYTES, config.ASK_CACHE_TTL_S),
    directory,
    metrics,
    decode: createDecoder(config.ASK_MAX_PIXELS),
    corsOrigins: config.ASK_CORS_ORIGINS,
    maxBodyBytes: config.ASK_MAX_BODY_BYTES,
    deadlineMs: config.ASK_DEADLINE_MS,
    phase: () => phase,
    works: () => [...models.values()].every((model) => pool.works(model)),
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
    await warmGolden(pool, [...models.values()], bundle, log);
    phase = 'ready';
    const awaited = bundle.there.filter(arrivals.expects);
    log.info({ ...(awaited.length > 0 && { awaited }), url }, 'ready');
    return { url, dependencies, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Shared {
  healths: Map<string, ExpertHealth>;
  arrivals: Arrivals;
  metrics: EdgeMetrics;
  admission: Admission;
}

/** The models that this edge asks elsewhere, with a circuit each. */
function openExperts(options: EdgeOptions, { healths, arrivals, metrics, admission }: Shared): Experts {
  const { bus, bundle, config, log, near = false } = options;
  const journal = createJournal(log);
  for (const id of bundle.there) {
    const changed = (change: CircuitChange) => {
      journal.circuit(id, change);
      if (change.state !== 'closed') metrics.openings.inc({ expert: id, reason: change.degraded ?? 'timeout' });
    };
    healths.set(
      id,
      createExpertHealth(() => performance.now(), changed),
    );
  }
  return createExperts({
    bundle,
    bus,
    near,
    health: (expert) => healths.get(expert) as ExpertHealth,
    secondChoice: config.ASK_SECOND_CHOICE,
    hedges: (options.hedges ?? !near) ? createHedgeBudget() : createHedgeBudget(0),
    arrivals,
    journal,
    metrics,
    sheds: (deadline) => admission.sheds(deadline.milliseconds),
  });
}
