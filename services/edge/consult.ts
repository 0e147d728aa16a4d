import { elapsed, unlessAborted } from '../../shared/deadline.ts';
import type { ModelEntry } from '../../shared/manifest.ts';
import { askExpert, type ExpertAnswer } from './experts.ts';
import type { Payload } from './payload.ts';
import type { Task, Tools } from './strategy.ts';

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
const RESERVE_MS = 5;
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
  const unasked = (degraded: NonNullable<ExpertAnswer['degraded']>): Consultation => {
    tools.metrics.escalations.inc({ expert, outcome: degraded });
    return { expert, reply: null, degraded, bytesSent: 0, roundTripMs: 0 };
  };
  if (!tools.bus.connected) return unasked('no-expert');
  const obstacle = health.obstacle(task.deadline.left - RESERVE_MS);
  if (obstacle?.probe) void probe(expert, parcel, tools, task);
  if (obstacle) return unasked(obstacle.degraded);
  const packed = await parcel.open();
  const timeoutMs = task.deadline.left - RESERVE_MS;
  if (timeoutMs < 1) return unasked('timeout');
  if (packed === null) return unasked('expert-error');
  const asked = question(expert, packed, tools, task.requestId);
  const answer = await askExpert(tools.bus, { ...asked, timeoutMs, signal, tries: TRIES });
  // Whoever waits for an expert waits for the packing, too. A connection lost says nothing about the expert.
  if (!signal.aborted && tools.bus.connected) health.record({ ...answer, roundTripMs: elapsed(begun) }, timeoutMs);
  const { metrics } = tools;
  metrics.escalations.inc({ expert, outcome: signal.aborted ? 'cancelled' : (answer.degraded ?? 'answered') });
  metrics.bytesSent.inc(answer.bytesSent);
  metrics.stages.observe({ stage: 'expert-round-trip' }, answer.roundTripMs / 1000);
  return { ...answer, expert };
}

/** Its answer is thrown away: it tells whether the expert answers again. */
async function probe(expert: string, parcel: Parcel, tools: Tools, task: Task): Promise<void> {
  const begun = performance.now();
  const packed = await parcel.open().catch(() => null);
  if (packed === null) return tools.health(expert).probed(null);
  const id = `${task.requestId}-probe`;
  const asked = question(expert, packed, tools, id);
  const { signal } = new AbortController();
  const answer = await askExpert(tools.bus, { ...asked, timeoutMs: PROBE_MS, signal, tries: 1 });
  tools.health(expert).probed(tools.bus.connected ? { ...answer, roundTripMs: elapsed(begun) } : null);
  tools.metrics.probes.inc({ expert, outcome: answer.degraded ?? 'answered' });
  tools.metrics.bytesSent.inc(answer.bytesSent);
}

function question(expert: string, { picture }: Payload, { bundle }: Tools, requestId: string) {
  const { labels, experts } = bundle.manifest;
  const { sha256 } = experts.find(({ id }) => id === expert) as ModelEntry;
  return { expert, image: picture, requestId, labels: labels.length, digest: sha256 };
}
