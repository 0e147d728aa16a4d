import type { CallersTrace } from '../../../shared/observe/telemetry.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';

/** The request for which experts are asked, and its deadline. */
export interface RequestContext {
  requestId: string;
  deadline: Deadline;
  /** Aborts when the caller has gone. The deadline's own signal then aborts too. */
  caller: AbortSignal;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
}
