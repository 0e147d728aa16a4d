import type { Bundle } from '../../../shared/bundle/load.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';
import type { Arrivals } from './arrivals.ts';
import type { ExpertHealth } from './circuit.ts';
import type { ExpertLog } from './expert-log.ts';
import type { HedgeBudget } from './hedge-budget.ts';

/** What asking others needs. */
export interface ExpertsContext {
  bundle: Bundle;
  bus: Bus;
  /** The experts are in this process: pictures go to them as they are. */
  near: boolean;
  /** What is known of an expert's presence and speed. */
  health(expert: string): ExpertHealth;
  /** The runner-up of the routing is asked as well when the first choice fails or is slow. */
  secondChoice: boolean;
  hedges: HedgeBudget;
  /** Who starts beside this edge and is waited for. */
  arrivals: Arrivals;
  expertLog: ExpertLog;
  metrics: EdgeMetrics;
  /** This device has too much to do already: whoever would ask an expert answers by himself. */
  sheds(deadline: Deadline): boolean;
}
