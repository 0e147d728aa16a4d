import { alwaysExpert, cascade, edgeOnly } from './cascade/cascade.ts';
import type { Strategy } from './strategy.ts';

// biome-ignore lint/suspicious/noExplicitAny: settings and decisions differ; each strategy has its own
export type AnyStrategy = Strategy<any, any>;

/** Every kind of strategy. A new one is a line here, and its settings one in `shared/bundle/strategies.ts`. */
export const strategies: AnyStrategy[] = [cascade, edgeOnly, alwaysExpert];
