import type { Degraded } from '../../services/edge/experts/ask.ts';
import type { World, WorldOptions } from './world.ts';

/** One thing that goes wrong, and what may be seen of it from outside. */
export interface Fault {
  name: string;
  world?: () => WorldOptions | Promise<WorldOptions>;
  inject(world: World): Promise<unknown> | unknown;
  /** Undoes it; default: it passes by itself. */
  heal?(world: World): Promise<unknown> | unknown;
  /** What some answers must say while it lasts; empty: none may be degraded. */
  truth: Degraded[];
  /** What others may say besides. */
  also?: Degraded[];
  /** Statuses that some may get instead of an answer, and why that is right stands beside. Default: none. */
  refused?: number[];
  /** Default 1000. */
  deadlineMs?: number;
  /** How long it lasts. Default 2500. */
  lastsMs?: number;
  /** The edge soon knows that there is nobody to ask: its answers then take no longer than its own. */
  gone?: boolean;
  /** There is no collector that could tell of traces. */
  untraced?: boolean;
}
