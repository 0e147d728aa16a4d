import type { CallersTrace } from '../../../shared/observe/telemetry.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';

/** On whose behalf others are asked, and until when. */
export interface RequestContext {
  requestId: string;
  deadline: Deadline;
  /** Aborts when the caller has gone; the deadline's own signal does so, too. */
  caller: AbortSignal;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
}
