import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import { type CircuitChange, createExpertHealth, type ExpertHealth } from './circuit.ts';
import type { ExpertLog } from './expert-log.ts';

/** Adds a circuit for each expert to `healths`. Its changes go to the log and the metrics. */
export function openHealths(
  healths: Map<string, ExpertHealth>,
  experts: string[],
  { expertLog, metrics }: { expertLog: ExpertLog; metrics: EdgeMetrics },
): void {
  for (const id of experts) {
    const changed = (change: CircuitChange) => {
      expertLog.circuit(id, change);
      if (change.state !== 'closed') metrics.openings.inc({ expert: id, reason: change.degraded ?? 'timeout' });
    };
    healths.set(
      id,
      createExpertHealth(() => performance.now(), changed),
    );
  }
}
