import { describe, expect, test } from 'vitest';
import {
  binomialCdf,
  certainlyAtLeast,
  certainlyAtMost,
  lowerBound,
  upperBound,
} from '../../../../services/cli/calibrate/binomial.ts';

describe('binomial', () => {
  test('the distribution function agrees with values worked out by hand', () => {
    expect(binomialCdf(2, 4, 0.5)).toBeCloseTo(11 / 16, 12);
    expect(binomialCdf(0, 3, 0.1)).toBeCloseTo(0.729, 12);
    expect(binomialCdf(-1, 3, 0.1)).toBe(0);
    expect(binomialCdf(3, 3, 0.1)).toBe(1);
  });

  test('bounds agree with closed forms and published intervals', () => {
    expect(lowerBound(10, 10, 0.05)).toBeCloseTo(0.05 ** (1 / 10), 9);
    expect(upperBound(0, 10, 0.05)).toBeCloseTo(1 - 0.05 ** (1 / 10), 9);
    // 95 % interval of 4 in 20: 5.73 % to 43.66 %
    expect(lowerBound(4, 20, 0.025)).toBeCloseTo(0.0573, 4);
    expect(upperBound(4, 20, 0.025)).toBeCloseTo(0.4366, 4);
    expect([lowerBound(0, 20, 0.05), upperBound(20, 20, 0.05)]).toEqual([0, 1]);
  });

  test('one look at the distribution tells on which side of a share a bound is', () => {
    const shares = [0, 1e-9, 0.03, 0.2, 0.5, 0.77, 0.995, 1];
    const cases = [1, 7, 60, 300].flatMap((n) =>
      [0, 1, 0.1, 0.5, 0.9].flatMap((part) => shares.map((share) => [Math.round(part * n), n, share] as const)),
    );
    for (const [k, n, share] of cases) {
      expect(certainlyAtLeast(share, k, n, 0.05), `${k} of ${n} >= ${share}`).toBe(lowerBound(k, n, 0.05) >= share);
      expect(certainlyAtMost(share, k, n, 0.05), `${k} of ${n} <= ${share}`).toBe(upperBound(k, n, 0.05) <= share);
    }
  });

  test('bounds stay exact with thousands of pictures', () => {
    const bound = lowerBound(4000, 5000, 0.05);
    expect(1 - binomialCdf(3999, 5000, bound)).toBeCloseTo(0.05, 9);
    expect(bound).toBeCloseTo(0.7905, 3);
  });
});
