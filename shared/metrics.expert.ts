import { Counter, Gauge, Histogram } from 'prom-client';
import { begin, createRegistry, pairs, refusals, seconds } from './metrics.series.ts';

/** Every metric of an expert service, by name; `inFlight` is read when the metrics are. */
export function createExpertMetrics(experts: readonly string[], inFlight: () => number, registry = createRegistry()) {
  const registers = [registry];
  const metrics = {
    registry,
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
  begin(metrics.requests, pairs('expert', experts, 'outcome', ['answered', ...refusals]));
  for (const expert of experts) {
    for (const stage of ['queue', 'compute']) metrics.duration.zero({ expert, stage });
  }
  return metrics;
}

export type ExpertMetrics = ReturnType<typeof createExpertMetrics>;
