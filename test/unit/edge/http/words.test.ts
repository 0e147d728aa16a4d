import { expect, test } from 'vitest';

const file = '../../../../services/edge/http/console/words.js';
const { describeDecision } = (await import(file)) as { describeDecision(answer: object): string };

const answer = { route: 'expert', expert: null, degraded: null };

test('page: the decision of a gate is told with its figures', () => {
  const decision = { reason: 'low-confidence', metric: 'max-probability', value: 0.5, threshold: 0.75 };
  expect(describeDecision({ ...answer, decision })).toContain('0.500, threshold 0.750)');
});

test('page: the decision of a strategy without a gate is told without', () => {
  const told = describeDecision({ ...answer, decision: { strategy: 'voices', reason: 'all-are-asked', scale: 1 } });
  expect(told).toBe('Reason: all-are-asked. Several experts were asked; the answers are merged.');
});
