import { cascade } from './cascade/cascade.ts';
import type { Strategy } from './strategy.ts';

/** Every strategy by name; a new one is a line here. */
export const strategies = {
  ask: cascade('ask', (value, threshold) => (value >= threshold ? 'confident' : 'low-confidence')),
  edge: cascade('edge', () => 'never-escalates'),
  expert: cascade('expert', () => 'always-escalates'),
} satisfies Record<string, Strategy>;

export type StrategyName = keyof typeof strategies;
export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];
