import { expect, test } from 'vitest';
import { softmax, topK } from '../../../shared/policy/probabilities.ts';

test('softmax: sums to 1 and keeps the order, also for logits that would overflow', () => {
  const p = softmax([1000, 1001, 999], 1);
  expect(p.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12);
  expect(Array.from(p, (value) => Number(value.toFixed(6)))).toEqual([0.244728, 0.665241, 0.090031]);
});

test('softmax: a temperature above 1 flattens, below 1 sharpens, and no temperature changes the winner', () => {
  const logits = new Float32Array([2, 1, 0]);
  const [flat, plain, sharp] = [4, 1, 0.25].map((temperature) => softmax(logits, temperature)[0] as number);
  expect(flat).toBeLessThan(plain as number);
  expect(sharp).toBeGreaterThan(plain as number);
});

test('topK: largest first, lower index first among equals, no more than there are', () => {
  expect(topK([0.1, 0.4, 0.4, 0.1], 3)).toEqual([1, 2, 0]);
  expect(topK([3, 1], 5)).toEqual([0, 1]);
});
