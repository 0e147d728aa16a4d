import { expect, test } from 'vitest';
import { affordable } from '../../../../services/cli/calibrate/cost.ts';

test('cost: a limit on the mean cost leaves room for a share of escalations', () => {
  expect(affordable(6, { edge: 2, escalation: 10 })).toBeCloseTo(0.4);
  expect(affordable(20, { edge: 2, escalation: 10 })).toBe(1);
  expect(affordable(1.9, { edge: 2, escalation: 10 })).toBe(-1);
  expect(affordable(2, { edge: 2, escalation: 0 })).toBe(1);
});
