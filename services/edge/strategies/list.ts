import { alwaysExpert, cascade, edgeOnly } from './cascade/cascade.ts';
import type { Strategy } from './strategy.ts';

// biome-ignore lint/suspicious/noExplicitAny: settings and decisions differ; each strategy has its own
export type AnyStrategy = Strategy<any, any>;

/** Every kind of strategy; a new one is a line here. */
export const strategies: AnyStrategy[] = [cascade, edgeOnly, alwaysExpert];
