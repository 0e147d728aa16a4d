import { describe, expect, test } from 'vitest';
import { metrics, rankExperts } from '../../services/edge/gate.ts';
import { mergeLogLinear } from '../../services/edge/merge.ts';

const experts = [
  { id: 'b', classes: [0, 1] },
  { id: 'a', classes: [2, 3] },
];

describe('rankExperts', () => {
  test('sums the probability of the top-k classes that an expert covers', () => {
    const ranked = rankExperts(Float64Array.of(0.4, 0.05, 0.3, 0.25), 3, experts);
    expect(ranked.map(({ expert }) => expert)).toEqual(['a', 'b']);
    expect(ranked.map(({ score }) => score)).toEqual([expect.closeTo(0.55), expect.closeTo(0.4)]);
  });

  test('with k = 1 the owner of the first class is the only candidate', () => {
    expect(rankExperts(Float64Array.of(0.4, 0.05, 0.3, 0.25), 1, experts)).toEqual([{ expert: 'b', score: 0.4 }]);
  });

  test('equal mass goes to the owner of the more probable class', () => {
    const ranked = rankExperts(Float64Array.of(0.25, 0.25, 0.5, 0), 3, experts);
    expect(ranked.map(({ expert }) => expert)).toEqual(['a', 'b']);
  });

  test('a class of two experts counts for both, and a full tie goes to the lower id', () => {
    const both = [
      { id: 'z', classes: [0] },
      { id: 'y', classes: [0] },
    ];
    expect(rankExperts(Float64Array.of(0.9, 0.1), 1, both).map(({ expert }) => expert)).toEqual(['y', 'z']);
  });

  test('there is no candidate when nobody covers the top-k', () => {
    expect(rankExperts(Float64Array.of(0.1, 0.9), 1, [{ id: 'a', classes: [0] }])).toEqual([]);
  });
});

describe('metrics', () => {
  const sure = Float64Array.of(1, 0, 0, 0);
  const lost = Float64Array.of(0.25, 0.25, 0.25, 0.25);
  const half = Float64Array.of(0.5, 0.3, 0.2, 0);

  test.each(Object.entries(metrics))('%s is 1 when sure, low when lost, in between otherwise', (_, metric) => {
    expect(metric(sure)).toBeCloseTo(1, 12);
    expect(metric(lost)).toBeLessThanOrEqual(0.25);
    expect(metric(half)).toBeGreaterThan(metric(lost));
    expect(metric(half)).toBeLessThan(metric(sure));
  });
});

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
