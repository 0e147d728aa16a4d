import { describe, expect, test } from 'vitest';
import { rankByGain } from '../../../shared/policy/expected-gain.ts';
import { decideRouting, measures, rankExperts } from '../../../shared/policy/gate.ts';
import { mergeLogLinear } from '../../../shared/policy/merge.ts';

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

describe('rankByGain', () => {
  const nothing = {
    mass: 0,
    best: 0,
    next: 0,
    confidence: 0,
    runnerUp: 0,
    entropy: 0,
    ownsFirst: 0,
    ownsSecond: 0,
    massSquared: 0,
    confidenceSquared: 0,
    massTimesConfidence: 0,
    massTimesBest: 0,
  };
  const p = Float64Array.of(0.4, 0.05, 0.3, 0.25);
  const scores = (weights: Partial<typeof nothing>) =>
    Object.fromEntries(
      rankByGain(
        p,
        { method: 'expected-gain', weights: { ...nothing, ...weights }, intercepts: { a: 0, b: 0 } },
        experts,
      ).map(({ expert, score }) => [expert, score]),
    );

  test.each<[keyof typeof nothing, number, number]>([
    ['mass', 0.55, 0.45],
    ['best', 0.3, 0.4],
    ['next', 0.25, 0.05],
    ['confidence', 0.4, 0.4],
    ['runnerUp', 0.3, 0.3],
    ['ownsFirst', 0, 1],
    ['ownsSecond', 1, 0],
    ['massSquared', 0.3025, 0.2025],
    ['confidenceSquared', 0.16, 0.16],
    ['massTimesConfidence', 0.22, 0.18],
    ['massTimesBest', 0.165, 0.18],
  ])('%s enters with its weight', (name, a, b) => {
    expect(scores({ [name]: 2 })).toEqual({ a: expect.closeTo(2 * a, 12), b: expect.closeTo(2 * b, 12) });
  });

  test('entropy is 1 where all classes are alike', () => {
    const scoring = {
      method: 'expected-gain',
      weights: { ...nothing, entropy: 3 },
      intercepts: { a: 0, b: 0 },
    } as const;
    expect(rankByGain(Float64Array.of(0.25, 0.25, 0.25, 0.25), scoring, experts)[0]?.score).toBeCloseTo(3, 12);
  });

  test('decides the candidates and, if the metric says so, the value', () => {
    const scoring = { method: 'expected-gain', weights: nothing, intercepts: { a: 0.1, b: 0.3 } } as const;
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
