import { describe, expect, test } from 'vitest';
import { mergeLogLinear } from '../../../shared/policy/merge.ts';

describe('mergeLogLinear', () => {
  const edge = Float64Array.of(0.6, 0.3, 0.1);
  const expert = Float64Array.of(0.1, 0.8, 0.1);
  const merge = (generalistWeight: number, expertWeight: number) =>
    Array.from(mergeLogLinear(edge, expert, { method: 'log-linear', generalistWeight, expertWeight }));

  test('weights 0 and 1 give the expert, 1 and 0 the generalist', () => {
    expect(merge(0, 1)).toEqual(Array.from(expert, (p) => expect.closeTo(p, 12)));
    expect(merge(1, 0)).toEqual(Array.from(edge, (p) => expect.closeTo(p, 12)));
  });

  test('equal halves give the normalised geometric mean', () => {
    const means = Array.from(edge, (p, i) => Math.sqrt(p * (expert[i] as number)));
    const sum = means.reduce((total, value) => total + value, 0);
    expect(merge(0.5, 0.5)).toEqual(means.map((value) => expect.closeTo(value / sum, 12)));
  });

  test('a probability of 0 on one side stays finite and does not veto', () => {
    const merged = mergeLogLinear(Float64Array.of(1, 0), Float64Array.of(0, 1), {
      method: 'log-linear',
      generalistWeight: 0.2,
      expertWeight: 0.8,
    });
    expect(merged[1]).toBeGreaterThan(0.99);
    expect(merged.every(Number.isFinite)).toBe(true);
  });
});
