import type { ModelEntry } from '../../../shared/bundle/model.ts';
import { elapsed } from '../../../shared/request/deadline.ts';
import { askExpert, type Degraded, type ExpertAnswer } from './ask.ts';
import type { ExpertsContext } from './context.ts';
import type { Parcel } from './parcel.ts';
import type { Payload } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** What came of asking one expert. */
export type Consultation = ExpertAnswer & { expert: string };

/** Answering must still be possible when the expert's time is up. */
export const RESERVE_MS = 5;
const PROBE_MS = 2000;
/** With as many members of another bundle as of ours, one question in a thousand finds none of ours. */
const TRIES = 10;

/**
 * Asks one expert unless that is known to be in vain; then it takes no time, and where a probe is due, the question is
 * sent as one. `signal` aborts when nobody waits for the answer any more: the expert is told, and it resolves at once.
 */
export async function consult(
  expert: string,
  parcel: Parcel,
  context: ExpertsContext,
  request: RequestContext,
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
  if (!context.bus.connected) return unasked('no-expert', 'disconnected');
  const obstacle = health.obstacle(request.deadline.left - RESERVE_MS);
  if (obstacle?.probe) void probe(expert, parcel, context, request);
  if (obstacle) return unasked(obstacle.degraded, obstacle.degraded === 'no-expert' ? 'absent' : 'circuit-open');
  const payload = await parcel.open();
  const timeoutMs = request.deadline.left - RESERVE_MS;
  if (timeoutMs < 1) return unasked('timeout', 'no-time');
  if (payload === null) return unasked('expert-error', 'not-packed', 'the picture could not be packed');
  const asked = question(expert, payload, context, request, request.requestId);
  const answer = await askExpert(context.bus, { ...asked, timeoutMs, signal, tries: TRIES });
  const consultation: Consultation = { ...answer, expert };
  if (mayStillArrive(consultation, context)) return consultation;
  if (signal.aborted) context.metrics.escalations.inc({ expert, outcome: 'cancelled' });
  else report(consultation, context);
  // Whoever waits for an expert waits for the packing, too. A connection lost says nothing about the expert.
  if (!signal.aborted && context.bus.connected) health.record({ ...answer, roundTripMs: elapsed(begun) }, timeoutMs);
  context.metrics.bytesSent.inc(answer.bytesSent);
  context.metrics.stages.observe({ stage: 'expert-round-trip' }, answer.roundTripMs / 1000);
  return consultation;
}

/** Nobody with this model is there yet: the question will be asked again, and says nothing of the expert. */
export function mayStillArrive({ expert, ...answer }: Consultation, { arrivals }: ExpertsContext): boolean {
  if (answer.degraded === null) return false;
  return (answer.degraded === 'no-expert' || answer.reason === 'other-model') && arrivals.expects(expert);
}

/** What came of a question to an expert, for metrics and log. */
export function report(consultation: Consultation, { metrics, expertLog }: ExpertsContext): void {
  const { expert, degraded } = consultation;
  metrics.escalations.inc({ expert, outcome: degraded ?? 'answered' });
  if (degraded === null) return;
  const { reason = degraded, detail } = consultation;
  metrics.failures.inc({ reason });
  if (detail !== undefined) expertLog.failed(expert, reason, detail); // otherwise it is no news
}

/** Its answer is thrown away: it tells whether the expert answers again. */
async function probe(expert: string, parcel: Parcel, context: ExpertsContext, request: RequestContext): Promise<void> {
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
  { trace }: RequestContext,
  requestId: string,
) {
  const { sha256, outputs } = bundle.manifest.models[expert] as ModelEntry;
  return { expert, body, requestId, trace, outputs, digest: sha256 };
}
