import { describe, expect, test } from 'vitest';
import { measures } from '../../../shared/policy/gate.ts';
import { decideRouting, rankExperts } from '../../../shared/policy/routing.ts';
import { NO_WEIGHTS } from '../../support/gain-weights.ts';

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

describe('measures', () => {
  const sure = Float64Array.of(1, 0, 0, 0);
  const lost = Float64Array.of(0.25, 0.25, 0.25, 0.25);
  const half = Float64Array.of(0.5, 0.3, 0.2, 0);

  const { 'expected-gain': expectedGain, ...confidences } = measures;

  test.each(Object.entries(confidences))('%s is 1 when sure, low when lost, in between otherwise', (_, metric) => {
    expect(metric(sure, [])).toBeCloseTo(1, 12);
    expect(metric(lost, [])).toBeLessThanOrEqual(0.25);
    expect(metric(half, [])).toBeGreaterThan(metric(lost, []));
    expect(metric(half, [])).toBeLessThan(metric(sure, []));
  });

  test.each([
    [0.3, 0.7],
    [0, 1],
    [-0.2, 1],
    [1.5, 0],
  ])('an expected gain of %d has the value %d', (score, value) => {
    expect(expectedGain(half, [{ expert: 'a', score }])).toBeCloseTo(value, 12);
  });
});

describe('decideRouting', () => {
  const p = Float64Array.of(0.4, 0.05, 0.3, 0.25);

  test('the scoring decides the candidates and, measured by expected gain, the value', () => {
    const scoring = { method: 'expected-gain', weights: NO_WEIGHTS, intercepts: { a: 0.1, b: 0.3 } } as const;
    const routing = { scoring, k: 1 } as never;
    const gate = { measure: 'expected-gain', escalates: 'below', threshold: 0.5 } as const;
    expect(decideRouting(p, { gate, routing, experts: experts as never })).toEqual({
      value: expect.closeTo(0.7, 12),
      candidates: [
        { expert: 'b', score: 0.3 },
        { expert: 'a', score: 0.1 },
      ],
    });
  });
});
