import { type Counter, collectDefaultMetrics, Registry } from 'prom-client';

/** Histogram buckets for durations. */
export const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** Gauges with names of counters; `nodejs_active_resources` and its kin give the same by type. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  return registry;
}

/** Creates known series at 0: a rate over a series that appears with its first event misses that event. */
export function startAtZero<Name extends string>(counter: Counter<Name>, sets: Record<Name, string>[]): void {
  for (const set of sets) counter.inc(set, 0);
}

/** All pairs, as sets of labels. */
export function pairs<A extends string, B extends string>(a: A, as: readonly string[], b: B, bs: readonly string[]) {
  return as.flatMap((one) => bs.map((other) => ({ [a]: one, [b]: other }) as Record<A | B, string>));
}
