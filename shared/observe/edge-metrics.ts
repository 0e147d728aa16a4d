import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { errorCodes } from '../request/errors.ts';
import { damages } from '../wire/damage.ts';
import { createRegistry, pairs, seconds, startAtZero } from './registry.ts';

const shares = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];

const degradations = ['timeout', 'no-expert', 'overloaded', 'expert-error', 'circuit-open'];

/** Why an expert did not answer, apart from the error codes that it sends. */
const failureReasons = [
  ...['no-responders', 'disconnected', 'timeout', 'too-large', 'unreadable'],
  ...['absent', 'circuit-open', 'no-time', 'not-packed', 'shed'],
];

/** Values that are known at the start, and functions that are read with the metrics. */
interface EdgeState {
  strategies: readonly string[];
  /** The bundle's labels. */
  labels: readonly string[];
  experts: readonly string[];
  /** Names of the keys' holders. */
  holders(): string[];
  waiting(): number;
  circuits(): { expert: string; state: 'closed' | 'open' | 'absent' }[];
}

/** Every metric of the edge, by name. */
export function createEdgeMetrics(state: EdgeState, registry = createRegistry()) {
  const registers = [registry];
  const metrics = {
    registry,
    ...createAnswerMetrics(registers, state),
    ...createEscalationMetrics(registers, state),
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
        this.set(state.waiting());
      },
    }),
  };
  startAllAtZero(metrics, state);
  return metrics;
}

export type EdgeMetrics = ReturnType<typeof createEdgeMetrics>;

function createAnswerMetrics(registers: Registry[], { holders }: EdgeState) {
  return {
    answers: new Counter({
      name: 'ask_answers_total',
      help: 'Answers, by who gave them and why an expert did not',
      labelNames: ['strategy', 'route', 'degraded'],
      registers,
    }),
    byLabel: new Counter({
      name: 'ask_answers_by_label_total',
      help: 'Answers, by their label',
      labelNames: ['label'],
      registers,
    }),
    confidence: new Histogram({
      name: 'ask_answer_confidence',
      help: 'Confidence of the answers, by who gave them',
      labelNames: ['route'],
      buckets: shares,
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
      collect() {
        startAtZero(this, pairs('key', holders(), 'outcome', ['accepted', 'rate-limited'])); // the key file may change
      },
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
  };
}

function createEscalationMetrics(registers: Registry[], { circuits }: EdgeState) {
  return {
    escalations: new Counter({
      name: 'ask_escalations_total',
      help: 'Questions to experts, by expert and outcome (answered, cancelled, or the reason for degrading)',
      labelNames: ['expert', 'outcome'],
      registers,
    }),
    failures: new Counter({
      name: 'ask_escalation_failures_total',
      help: 'Questions that no expert answered, by the reason: what the bus or the expert says, or why none was asked',
      labelNames: ['reason'],
      registers,
    }),
    openings: new Counter({
      name: 'ask_expert_circuit_openings_total',
      help: 'Times that an expert was not asked any more, by the reason',
      labelNames: ['expert', 'reason'],
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
  };
}

function startAllAtZero(metrics: EdgeMetrics, { strategies, labels, experts }: EdgeState): void {
  const routes = [
    ...degradations.map((degraded) => ({ route: 'edge', degraded })),
    { route: 'edge', degraded: 'no' },
    { route: 'expert', degraded: 'no' },
  ];
  startAtZero(
    metrics.answers,
    strategies.flatMap((strategy) => routes.map((route) => ({ strategy, ...route }))),
  );
  startAtZero(
    metrics.byLabel,
    labels.map((label) => ({ label })),
  );
  startAtZero(
    metrics.errors,
    errorCodes.map((code) => ({ code })),
  );
  startAtZero(metrics.escalations, pairs('expert', experts, 'outcome', ['answered', 'cancelled', ...degradations]));
  startAtZero(
    metrics.failures,
    [...failureReasons, ...errorCodes].map((reason) => ({ reason })),
  );
  startAtZero(metrics.openings, pairs('expert', experts, 'reason', ['timeout', 'no-expert', 'expert-error']));
  const probed = ['answered', ...degradations.filter((reason) => reason !== 'circuit-open')];
  startAtZero(metrics.probes, pairs('expert', experts, 'outcome', probed));
  startAtZero(metrics.damaged, pairs('reason', [...damages], 'outcome', ['answered', 'refused']));
  startAtZero(metrics.cache, [{ result: 'hit' }, { result: 'miss' }]);
  for (const route of ['edge', 'expert']) {
    metrics.duration.zero({ route });
    metrics.confidence.zero({ route });
  }
  for (const stage of ['decode', 'edge', 'expert-round-trip']) metrics.stages.zero({ stage });
}
