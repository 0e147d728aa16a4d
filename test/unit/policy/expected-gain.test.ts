import { describe, expect, test } from 'vitest';
import { rankByGain } from '../../../shared/policy/expected-gain.ts';
import { NO_WEIGHTS } from '../../support/gain-weights.ts';

const experts = [
  { id: 'b', classes: [0, 1] },
  { id: 'a', classes: [2, 3] },
];

describe('rankByGain', () => {
  const p = Float64Array.of(0.4, 0.05, 0.3, 0.25);
  const scores = (weights: Partial<typeof NO_WEIGHTS>) =>
    Object.fromEntries(
      rankByGain(
        p,
        { method: 'expected-gain', weights: { ...NO_WEIGHTS, ...weights }, intercepts: { a: 0, b: 0 } },
        experts,
      ).map(({ expert, score }) => [expert, score]),
    );

  test.each<[keyof typeof NO_WEIGHTS, number, number]>([
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
      weights: { ...NO_WEIGHTS, entropy: 3 },
      intercepts: { a: 0, b: 0 },
    } as const;
    expect(rankByGain(Float64Array.of(0.25, 0.25, 0.25, 0.25), scoring, experts)[0]?.score).toBeCloseTo(3, 12);
  });
});
