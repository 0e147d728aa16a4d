import { BundleError } from '../../shared/bundle/bundle-error.ts';
import type { Bundle } from '../../shared/bundle/load.ts';
import { classesOf } from '../../shared/bundle/view.ts';
import type { Bus, BusMessage, Subscription } from '../../shared/bus/bus.ts';
import { createResponder } from '../../shared/bus/responder.ts';
import { createDecoder } from '../../shared/imaging/decoder.ts';
import { createPool, expertMemory } from '../../shared/inference/create-pool.ts';
import { warmGolden } from '../../shared/inference/golden.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { toRunnable } from '../../shared/inference/runnable.ts';
import { createExpertMetrics, type ExpertMetrics } from '../../shared/observe/expert-metrics.ts';
import type { Log } from '../../shared/observe/log.ts';
import { rateLimited } from '../../shared/observe/rate-limited-log.ts';
import { createBacklog } from '../../shared/request/backlog.ts';
import { elapsed } from '../../shared/request/deadline.ts';
import { toAppError } from '../../shared/request/errors.ts';
import { batchOf, type Config } from '../../shared/settings/settings.ts';
import { cancelSubject, classifySubject, EXPERT_QUEUE } from '../../shared/wire/expert-protocol.ts';
import { announce, type ExpertStats } from './discovery.ts';
import { createHandler, type HostedModel } from './handler.ts';

export interface ExpertService {
  experts: string[];
  metrics: ExpertMetrics;
  /** Refuses new requests, answers those in flight, ends the model processes. */
  stop(): Promise<void>;
}

interface ExpertDependencies {
  bus: Bus;
  bundle: Bundle;
  config: Config;
  log: Log;
  /** Default: new ones, in a new registry. */
  metrics?: ExpertMetrics;
  /** Runs the models; the caller stops it. Default: the service's own. */
  pool?: InferencePool;
}

/** Hosts one or several experts of a bundle: loads, warms and checks them, then takes requests. Throws BundleError. */
export async function startExpert(dependencies: ExpertDependencies): Promise<ExpertService> {
  const { bus, bundle, config, log, pool: given } = dependencies;
  const experts = chooseExperts(bundle, config.ASK_EXPERTS);
  const models = experts.map(({ id }) => toRunnable(bundle, id));
  const batch = batchOf(config, 'expert');
  const pool = given ?? createPool(config, config.ASK_EXPERT_QUEUE, log, expertMemory(config));
  const stopPool = async () => {
    if (given === undefined) await pool.stop();
  };
  try {
    await warmGolden(pool, models, bundle, log);
  } catch (error) {
    await stopPool();
    throw error;
  }

  const responder = createResponder({ bus, queue: EXPERT_QUEUE, capacity: config.ASK_EXPERT_QUEUE });
  const ids = experts.map(({ id }) => id);
  const metrics = dependencies.metrics ?? createExpertMetrics(ids);
  metrics.askInFlight(() => responder.inFlight);
  const say = rateLimited(log);
  const backlog = createBacklog(config.ASK_WORKERS, batch);
  const decode = createDecoder(config.ASK_MAX_PIXELS);
  const cancellations: Subscription[] = [];
  const announcements = experts.map((expert, i) => {
    const model = models[i] as (typeof models)[number];
    const { handle, cancel } = createHandler({
      expert,
      decode,
      infer: (inputs, deadline) => pool.run(model, inputs, { batch, deadline }),
      backlog,
      system: bus.kind,
      metrics,
    });
    const stats: ExpertStats = { requests: 0, errors: 0, lastError: '', processingMs: 0 };
    const complain = (thrown: unknown) => {
      const { code, status, message: reason } = toAppError(thrown);
      if (code === 'client-closed') return; // expected
      const fields = { expert: expert.id, code, ...(status === 500 ? { err: thrown } : { reason }) };
      say(status === 500 ? 'error' : 'warn', `${expert.id} ${code}`, fields, 'a question was not answered');
    };
    responder.serve(
      classifySubject(expert.id),
      (message) => counted(stats, handle, message, complain),
      (why) => {
        Object.assign(stats, { requests: stats.requests + 1, errors: stats.errors + 1, lastError: why.message });
        complain(why);
        metrics.requests.inc({ expert: expert.id, outcome: 'overloaded' });
      },
    );
    cancellations.push(bus.subscribe(cancelSubject(expert.id), cancel));
    return announce(bus, { ...expert, classes: classesOf(bundle.manifest, expert.id) }, stats);
  });
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await Promise.all(announcements.map((announcement) => announcement.stop()));
    await responder.stop();
    await Promise.all(cancellations.map((subscription) => subscription.drain()));
    await stopPool();
  };
  log.info({ experts: ids }, 'experts are ready');
  return {
    experts: ids,
    metrics,
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

async function counted<T>(
  stats: ExpertStats,
  handle: (message: BusMessage) => Promise<T>,
  message: BusMessage,
  failed: (error: unknown) => void,
) {
  const begun = performance.now();
  stats.requests += 1;
  try {
    return await handle(message);
  } catch (error) {
    stats.errors += 1;
    stats.lastError = (error as Error).message;
    failed(error);
    throw error;
  } finally {
    stats.processingMs += elapsed(begun);
  }
}

/** The experts of the bundle that this process hosts. Throws BundleError. */
export function chooseExperts({ manifest, there }: Bundle, ids: string | undefined): HostedModel[] {
  const wanted = ids === undefined ? there : [...new Set(ids.split(','))];
  return wanted.map((id) => {
    const model = Object.hasOwn(manifest.models, id) ? manifest.models[id] : undefined;
    if (model) return { id, model };
    throw new BundleError(`ASK_EXPERTS: the bundle has no expert '${id}', it has ${there.join(', ') || 'none'}`);
  });
}
