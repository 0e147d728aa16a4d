import { expect, test } from 'vitest';
import { bootstrapMedian, median, summarise } from '../../bench/statistics.ts';

test('bench statistics: percentiles are values of the sample, the median of an even number lies between two', () => {
  const values = Array.from({ length: 1000 }, (_, i) => 1000 - i);
  expect(summarise(values)).toEqual({ n: 1000, p50: 501, p95: 951, p99: 991, p999: 1000, max: 1000 });
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test('bench statistics: the interval of a median holds it, is narrow where values agree, and is reproducible', () => {
  const values = [3, 1, 2, 5, 4, 3, 3, 2, 4, 3];
  const [low, high] = bootstrapMedian(values);
  expect(low).toBeLessThanOrEqual(3);
  expect(high).toBeGreaterThanOrEqual(3);
  expect([low, high]).not.toEqual([1, 5]);
  expect(bootstrapMedian(values)).toEqual([low, high]);
  expect(bootstrapMedian([7, 7, 7])).toEqual([7, 7]);
});
