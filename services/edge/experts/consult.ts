import type { ModelEntry } from '../../../shared/bundle/model.ts';
import { elapsed } from '../../../shared/request/deadline.ts';
import { askExpert, type Degraded, type ExpertAnswer } from './ask.ts';
import type { ExpertsContext } from './context.ts';
import type { Parcel } from './parcel.ts';
import type { Payload } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** Tells the questions of one request apart: a cancel names one of them. */
let serial = 0;

/** Who asks, and for which outputs; undefined: the expert's choice. */
type Asking = RequestContext & { outputs?: string[] | undefined };

/** The outcome of asking one expert. */
export type Consultation = ExpertAnswer & { expert: string };

/** Left of the deadline for answering once the expert's time is up. */
export const RESERVE_MS = 5;
const PROBE_MS = 2000;
/** With equally many members of the old and the new bundle, one question in a thousand meets only the wrong ones. */
const TRIES = 10;

/**
 * Asks one expert, unless its circuit is open: then it resolves at once, and sends the question as a probe if one is
 * due. `signal` aborts when nobody waits for the answer any more: the question is cancelled at the expert, and it
 * resolves at once.
 */
export async function consult(
  expert: string,
  parcel: Parcel,
  context: ExpertsContext,
  request: Asking,
  signal: AbortSignal,
): Promise<Consultation> {
  const begun = performance.now();
  const health = context.health(expert);
  const unasked = (degraded: Degraded, reason: string, detail?: string): Consultation => {
    const why = { degraded, reason, ...(detail !== undefined && { detail }) };
    const consultation: Consultation = { expert, reply: null, ...why, bytesSent: 0, roundTripMs: 0 };
    if (!mayStillArrive(consultation, context)) report(consultation, context);
    return consultation;
  };
  // The caller has gone, or has the runner-up's answer: nothing is worth encoding any more.
  if (signal.aborted) return { expert, reply: null, degraded: 'timeout', bytesSent: 0, roundTripMs: 0 };
  if (!context.bus.connected) return unasked('no-expert', 'disconnected');
  const obstacle = health.obstacle(request.deadline.left - RESERVE_MS);
  if (obstacle?.probe) probe(expert, parcel, context, request).catch(() => health.probed(null));
  if (obstacle) return unasked(obstacle.degraded, obstacle.degraded === 'no-expert' ? 'absent' : 'circuit-open');
  const payload = await parcel.open();
  const timeoutMs = request.deadline.left - RESERVE_MS;
  if (timeoutMs < 1) return unasked('timeout', 'no-time');
  if (payload === null) return unasked('expert-error', 'not-packed', 'the picture could not be packed');
  const asked = question(expert, payload, context, request, `${request.requestId}-${serial++}`);
  const answer = await askExpert(context.bus, { ...asked, timeoutMs, signal, tries: TRIES });
  const consultation: Consultation = { ...answer, expert };
  if (mayStillArrive(consultation, context)) return consultation;
  if (signal.aborted) context.metrics.escalations.inc({ expert, outcome: 'cancelled' });
  else report(consultation, context);
  // The round trip includes encoding the picture, which the caller waits for as well. A lost connection says nothing
  // about the expert.
  if (!signal.aborted && context.bus.connected) health.record({ ...answer, roundTripMs: elapsed(begun) }, timeoutMs);
  context.metrics.bytesSent.inc(answer.bytesSent);
  context.metrics.stages.observe({ stage: 'expert-round-trip' }, answer.roundTripMs / 1000);
  return consultation;
}

/** The expert may still start with this model: the question will be asked again, and the outcome is not counted. */
export function mayStillArrive({ expert, ...answer }: Consultation, { arrivals }: ExpertsContext): boolean {
  if (answer.degraded === null) return false;
  return (answer.degraded === 'no-expert' || answer.reason === 'other-model') && arrivals.expects(expert);
}

/** Counts and logs the outcome of a question. */
export function report(consultation: Consultation, { metrics, expertLog }: ExpertsContext): void {
  const { expert, degraded } = consultation;
  metrics.escalations.inc({ expert, outcome: degraded ?? 'answered' });
  if (degraded === null) return;
  const { reason = degraded, detail } = consultation;
  metrics.failures.inc({ reason });
  // without detail the expert was not asked, which is not worth a line
  if (detail !== undefined) expertLog.failed(expert, reason, detail);
}

/** Sends the question as a probe. The answer is thrown away: it only tells whether the expert answers again. */
async function probe(expert: string, parcel: Parcel, context: ExpertsContext, request: Asking): Promise<void> {
  const begun = performance.now();
  const payload = await parcel.open().catch(() => null);
  if (payload === null) return context.health(expert).probed(null);
  const id = `${request.requestId}-probe`;
  const asked = question(expert, payload, context, request, id);
  const { signal } = new AbortController();
  const answer = await askExpert(context.bus, { ...asked, timeoutMs: PROBE_MS, signal, tries: 1 });
  context.health(expert).probed(context.bus.connected ? { ...answer, roundTripMs: elapsed(begun) } : null);
  context.metrics.probes.inc({ expert, outcome: answer.degraded ?? 'answered' });
  context.metrics.bytesSent.inc(answer.bytesSent);
}

function question(
  expert: string,
  { body }: Payload,
  { bundle }: ExpertsContext,
  { trace, outputs: wanted }: Asking,
  requestId: string,
) {
  const { sha256, outputs: all } = bundle.manifest.models[expert] as ModelEntry;
  const byDefault = 'payload' in body ? Object.keys(all) : ['logits'];
  const names = wanted ?? byDefault;
  const outputs = Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
  return { expert, body, requestId, trace, outputs, wanted, digest: sha256 };
}
