import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** What is read when the metrics are. */
export interface EdgeState {
  waiting(): number;
  circuits(): { expert: string; state: 'closed' | 'open' | 'absent' }[];
}

/** Every metric of the edge, by name. */
export function createEdgeMetrics({ waiting, circuits }: EdgeState) {
  const registry = createRegistry();
  const registers = [registry];
  return {
    registry,
    answers: new Counter({
      name: 'ask_answers_total',
      help: 'Answers, by who gave them and why an expert did not',
      labelNames: ['strategy', 'route', 'degraded'],
      registers,
    }),
    errors: new Counter({
      name: 'ask_errors_total',
      help: 'Requests that got an error, by its code',
      labelNames: ['code'],
      registers,
    }),
    keys: new Counter({
      name: 'ask_keyed_requests_total',
      help: "Requests with an accepted API key, by the key's name and outcome (accepted, rate-limited)",
      labelNames: ['key', 'outcome'],
      registers,
    }),
    duration: new Histogram({
      name: 'ask_answer_duration_seconds',
      help: 'Time from the complete request to the answer',
      labelNames: ['route'],
      buckets: seconds,
      registers,
    }),
    stages: new Histogram({
      name: 'ask_stage_duration_seconds',
      help: 'Time of one stage: decode, edge, expert-round-trip',
      labelNames: ['stage'],
      buckets: seconds,
      registers,
    }),
    damaged: new Counter({
      name: 'ask_damaged_pictures_total',
      help: 'Pictures of which a part is missing or broken, by what is wrong and outcome (answered, refused)',
      labelNames: ['reason', 'outcome'],
      registers,
    }),
    escalations: new Counter({
      name: 'ask_escalations_total',
      help: 'Questions to experts, by expert and outcome (answered, cancelled, or the reason for degrading)',
      labelNames: ['expert', 'outcome'],
      registers,
    }),
    probes: new Counter({
      name: 'ask_expert_probes_total',
      help: 'Copies of questions sent to experts whose circuit is open, by outcome',
      labelNames: ['expert', 'outcome'],
      registers,
    }),
    circuits: new Gauge({
      name: 'ask_expert_circuit_open',
      help: '1 while an expert is not asked because it failed (open) or was not there (absent)',
      labelNames: ['expert', 'state'],
      registers,
      collect() {
        for (const { expert, state } of circuits()) {
          for (const one of ['open', 'absent'] as const) this.set({ expert, state: one }, state === one ? 1 : 0);
        }
      },
    }),
    bytesSent: new Counter({ name: 'ask_bus_bytes_sent_total', help: 'Bytes sent to experts', registers }),
    cache: new Counter({
      name: 'ask_cache_lookups_total',
      help: 'Look-ups in the answer cache',
      labelNames: ['result'],
      registers,
    }),
    waiting: new Gauge({
      name: 'ask_edge_waiting',
      help: 'Pictures waiting for the generalist',
      registers,
      collect() {
        this.set(waiting());
      },
    }),
  };
}

export type EdgeMetrics = ReturnType<typeof createEdgeMetrics>;

/** Every metric of an expert service, by name; `inFlight` is read when the metrics are. */
export function createExpertMetrics(inFlight: () => number, registry = createRegistry()) {
  const registers = [registry];
  return {
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
}

export type ExpertMetrics = ReturnType<typeof createExpertMetrics>;
