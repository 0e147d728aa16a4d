import { Counter, Gauge, Histogram } from 'prom-client';
import { expertsCodes } from '../request/errors.ts';
import { createRegistry, pairs, seconds, startAtZero } from './registry.ts';

/** Every metric of an expert service, by name. */
export function createExpertMetrics(experts: readonly string[], registry = createRegistry()) {
  let inFlight = () => 0;
  const registers = [registry];
  const metrics = {
    registry,
    /** Sets the function that counts requests in flight whenever the metrics are read. */
    askInFlight(read: () => number) {
      inFlight = read;
    },
    requests: new Counter({
      name: 'ask_expert_requests_total',
      help: 'Requests, by expert and outcome (answered, or the error code)',
      labelNames: ['expert', 'outcome'],
      registers,
    }),
    duration: new Histogram({
      name: 'ask_expert_stage_duration_seconds',
      help: 'Time of one stage: queue, compute',
      labelNames: ['expert', 'stage'],
      buckets: seconds,
      registers,
    }),
    inFlight: new Gauge({
      name: 'ask_expert_in_flight',
      help: 'Requests in work or waiting',
      registers,
      collect() {
        this.set(inFlight());
      },
    }),
  };
  startAtZero(metrics.requests, pairs('expert', experts, 'outcome', ['answered', ...expertsCodes]));
  for (const expert of experts) {
    for (const stage of ['queue', 'compute']) metrics.duration.zero({ expert, stage });
  }
  return metrics;
}

export type ExpertMetrics = ReturnType<typeof createExpertMetrics>;
