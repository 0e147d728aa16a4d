import type { ModelEntry } from '../../../shared/bundle/load.ts';
import { elapsed, unlessAborted } from '../../../shared/request/deadline.ts';
import type { Task, Tools } from '../strategies/strategy.ts';
import { askExpert, type Degraded, type ExpertAnswer } from './ask.ts';
import type { Payload } from './payload.ts';

/** What came of asking one expert. */
export type Consultation = ExpertAnswer & { expert: string };

/** The picture of a task as it travels: made when it is first needed, for whoever is asked. */
export interface Parcel {
  /** Null if it cannot be made. Rejects only when the caller has gone. */
  open(): Promise<Payload | null>;
  /** Time it took. */
  readonly encodeMs: number;
}

/** Answering must still be possible when the expert's time is up. */
export const RESERVE_MS = 5;
const PROBE_MS = 2000;
/** With as many members of another bundle as of ours, one question in a thousand finds none of ours. */
const TRIES = 10;

export function createParcel({ pack }: Tools, { image, original, deadline, caller }: Task): Parcel {
  let made: Promise<Payload | null> | undefined;
  let encodeMs = 0;
  const make = async () => {
    const begun = performance.now();
    try {
      return await unlessAborted(deadline.signal, pack(image, original));
    } catch {
      caller.throwIfAborted();
      return null;
    } finally {
      encodeMs = elapsed(begun);
    }
  };
  return {
    open: () => {
      made ??= make();
      return made;
    },
    get encodeMs() {
      return encodeMs;
    },
  };
}

/**
 * Asks one expert unless that is known to be in vain; then it takes no time, and where a probe is due, the question is
 * sent as one. `signal` aborts when nobody waits for the answer any more: the expert is told, and it resolves at once.
 */
export async function consult(
  expert: string,
  parcel: Parcel,
  tools: Tools,
  task: Task,
  signal: AbortSignal,
): Promise<Consultation> {
  const begun = performance.now();
  const health = tools.health(expert);
  const unasked = (degraded: Degraded, reason: string, detail?: string): Consultation => {
    const why = { degraded, reason, ...(detail !== undefined && { detail }) };
    const consultation: Consultation = { expert, reply: null, ...why, bytesSent: 0, roundTripMs: 0 };
    if (!stillToCome(consultation, tools)) count(consultation, tools);
    return consultation;
  };
  if (!tools.bus.connected) return unasked('no-expert', 'disconnected');
  const obstacle = health.obstacle(task.deadline.left - RESERVE_MS);
  if (obstacle?.probe) void probe(expert, parcel, tools, task);
  if (obstacle) return unasked(obstacle.degraded, obstacle.degraded === 'no-expert' ? 'absent' : 'circuit-open');
  const packed = await parcel.open();
  const timeoutMs = task.deadline.left - RESERVE_MS;
  if (timeoutMs < 1) return unasked('timeout', 'no-time');
  if (packed === null) return unasked('expert-error', 'not-packed', 'the picture could not be packed');
  const asked = question(expert, packed, tools, task, task.requestId);
  const answer = await askExpert(tools.bus, { ...asked, timeoutMs, signal, tries: TRIES });
  const consultation: Consultation = { ...answer, expert };
  if (stillToCome(consultation, tools)) return consultation;
  if (signal.aborted) tools.metrics.escalations.inc({ expert, outcome: 'cancelled' });
  else count(consultation, tools);
  // Whoever waits for an expert waits for the packing, too. A connection lost says nothing about the expert.
  if (!signal.aborted && tools.bus.connected) health.record({ ...answer, roundTripMs: elapsed(begun) }, timeoutMs);
  tools.metrics.bytesSent.inc(answer.bytesSent);
  tools.metrics.stages.observe({ stage: 'expert-round-trip' }, answer.roundTripMs / 1000);
  return consultation;
}

/** Nobody with this model is there yet: the question will be asked again, and says nothing of the expert. */
export function stillToCome({ expert, ...answer }: Consultation, { arrivals }: Tools): boolean {
  if (answer.degraded === null) return false;
  return (answer.degraded === 'no-expert' || answer.reason === 'other-model') && arrivals.expects(expert);
}

/** What came of a question to an expert, for metrics and log. */
export function count(consultation: Consultation, { metrics, journal }: Tools): void {
  const { expert, degraded } = consultation;
  metrics.escalations.inc({ expert, outcome: degraded ?? 'answered' });
  if (degraded === null) return;
  const { reason = degraded, detail } = consultation;
  metrics.failures.inc({ reason });
  if (detail !== undefined) journal.failed(expert, reason, detail); // otherwise it is no news
}

/** Its answer is thrown away: it tells whether the expert answers again. */
async function probe(expert: string, parcel: Parcel, tools: Tools, task: Task): Promise<void> {
  const begun = performance.now();
  const packed = await parcel.open().catch(() => null);
  if (packed === null) return tools.health(expert).probed(null);
  const id = `${task.requestId}-probe`;
  const asked = question(expert, packed, tools, task, id);
  const { signal } = new AbortController();
  const answer = await askExpert(tools.bus, { ...asked, timeoutMs: PROBE_MS, signal, tries: 1 });
  tools.health(expert).probed(tools.bus.connected ? { ...answer, roundTripMs: elapsed(begun) } : null);
  tools.metrics.probes.inc({ expert, outcome: answer.degraded ?? 'answered' });
  tools.metrics.bytesSent.inc(answer.bytesSent);
}

function question(expert: string, { picture }: Payload, { bundle }: Tools, { trace }: Task, requestId: string) {
  const { labels, experts } = bundle.manifest;
  const { sha256 } = experts.find(({ id }) => id === expert) as ModelEntry;
  return { expert, image: picture, requestId, trace, labels: labels.length, digest: sha256 };
}
