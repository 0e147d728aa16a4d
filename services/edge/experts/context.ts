import type { Bundle } from '../../../shared/bundle/load.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';
import type { Arrivals } from './arrivals.ts';
import type { ExpertHealth } from './circuit.ts';
import type { ExpertLog } from './expert-log.ts';
import type { HedgeBudget } from './hedge-budget.ts';

/** What asking experts needs. */
export interface ExpertsContext {
  bundle: Bundle;
  bus: Bus;
  /** The experts are in this process: pixels go to them without encoding. */
  near: boolean;
  /** Circuit and round trips of an expert. */
  health(expert: string): ExpertHealth;
  /** The runner-up of the routing is asked too when the first choice fails or is slow. */
  secondChoice: boolean;
  hedges: HedgeBudget;
  /** Experts that are still starting. */
  arrivals: Arrivals;
  expertLog: ExpertLog;
  metrics: EdgeMetrics;
  /** The device is overloaded: requests that would ask an expert are answered by the generalist. */
  sheds(deadline: Deadline): boolean;
}
