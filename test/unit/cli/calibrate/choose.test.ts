import { describe, expect, test } from 'vitest';
import {
  binomialCdf,
  certainlyAtLeast,
  certainlyAtMost,
  lowerBound,
  upperBound,
} from '../../../../services/cli/calibrate/binomial.ts';
import { choose } from '../../../../services/cli/calibrate/choose.ts';
import { affordable } from '../../../../services/cli/calibrate/cost.ts';
import { candidates, curve, type Picture } from '../../../../services/cli/calibrate/curve.ts';
import { chooseMetric } from '../../../../services/cli/calibrate/metric.ts';
import type { CascadeView } from '../../../../shared/bundle/view.ts';
import { randomNumbers } from '../../../support/predictions.ts';

describe('binomial bounds', () => {
  test('the distribution function agrees with values worked out by hand', () => {
    expect(binomialCdf(2, 4, 0.5)).toBeCloseTo(11 / 16, 12);
    expect(binomialCdf(0, 3, 0.1)).toBeCloseTo(0.729, 12);
    expect(binomialCdf(-1, 3, 0.1)).toBe(0);
    expect(binomialCdf(3, 3, 0.1)).toBe(1);
  });

  test('agree with closed forms and published intervals', () => {
    expect(lowerBound(10, 10, 0.05)).toBeCloseTo(0.05 ** (1 / 10), 9);
    expect(upperBound(0, 10, 0.05)).toBeCloseTo(1 - 0.05 ** (1 / 10), 9);
    // 95 % interval of 4 in 20: 5.73 % to 43.66 %
    expect(lowerBound(4, 20, 0.025)).toBeCloseTo(0.0573, 4);
    expect(upperBound(4, 20, 0.025)).toBeCloseTo(0.4366, 4);
    expect([lowerBound(0, 20, 0.05), upperBound(20, 20, 0.05)]).toEqual([0, 1]);
  });

  test('are on one side of a share or the other, as one look at the distribution tells', () => {
    const shares = [0, 1e-9, 0.03, 0.2, 0.5, 0.77, 0.995, 1];
    const cases = [1, 7, 60, 300].flatMap((n) =>
      [0, 1, 0.1, 0.5, 0.9].flatMap((part) => shares.map((share) => [Math.round(part * n), n, share] as const)),
    );
    for (const [k, n, share] of cases) {
      expect(certainlyAtLeast(share, k, n, 0.05), `${k} of ${n} >= ${share}`).toBe(lowerBound(k, n, 0.05) >= share);
      expect(certainlyAtMost(share, k, n, 0.05), `${k} of ${n} <= ${share}`).toBe(upperBound(k, n, 0.05) <= share);
    }
  });

  test('stay exact with thousands of pictures', () => {
    const bound = lowerBound(4000, 5000, 0.05);
    expect(1 - binomialCdf(3999, 5000, bound)).toBeCloseTo(0.05, 9);
    expect(bound).toBeCloseTo(0.7905, 3);
  });
});

/** Confidence v is spread evenly; the edge is right with probability v, the expert with 0.9 whatever v is. */
function draw(count: number, random: () => number): Picture[] {
  return Array.from({ length: count }, () => {
    const value = random();
    return { value, edgeRight: random() < value, expertRight: random() < 0.9 };
  });
}
/** Expected over all pictures, of a threshold t. */
const trueAccuracy = (t: number) => 0.9 * t + (1 - t ** 2) / 2;

describe('curve', () => {
  test('goes from nothing to all escalated and counts what is right', () => {
    const pictures = [
      { value: 0.2, edgeRight: false, expertRight: true },
      { value: 0.6, edgeRight: true, expertRight: false },
      { value: 0.9, edgeRight: true, expertRight: true },
    ];
    const points = curve(pictures);
    const at = (threshold: number) => points.find((point) => point.threshold === threshold);
    expect(at(0)).toMatchObject({ threshold: 0, escalated: 0, right: 2 });
    expect(at(0.2)).toMatchObject({ threshold: 0.2, escalated: 0, right: 2 });
    expect(at(0.5)).toMatchObject({ threshold: 0.5, escalated: 1, right: 3 });
    expect(at(1)).toMatchObject({ threshold: 1, escalated: 3, right: 2 });
  });
});

describe('candidates', () => {
  const sure = (value: number) => ({ value, edgeRight: true, expertRight: true });

  test('tell apart the shares of pictures that a good generalist is almost sure of', () => {
    const fitted = Array.from({ length: 1000 }, (_, i) => sure(1 - ((i + 0.5) / 1000) ** 4));
    const shares = candidates(fitted).map(({ expected }) => expected.escalated);
    const steps = shares.slice(1).map((share, i) => share - (shares[i] as number));
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...steps)).toBeLessThan(0.012);
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
  });

  test('are each threshold once, in order, however few values there are', () => {
    expect(candidates([sure(0.5), { ...sure(0.5), expertRight: false }, sure(1)])).toEqual([
      { threshold: 0, expected: { escalated: 0, right: 1 } },
      { threshold: 0.5, expected: { escalated: 0, right: 1 } },
      { threshold: 1, expected: { escalated: 2 / 3, right: 2 / 3 } },
    ]);
    expect(candidates([])).toHaveLength(201);
  });
});

describe('choose', () => {
  const points = curve(draw(4000, randomNumbers(1)));

  test('a target accuracy is reached with few escalations more than the truth needs', () => {
    const choice = choose(points, 4000, { accuracy: 0.8 }, 0.05);
    if (!('point' in choice)) throw new Error(choice.unmet);
    expect(trueAccuracy(choice.point.threshold)).toBeGreaterThan(0.8);
    // The truth needs a threshold of about 0.445.
    expect(choice.point.threshold).toBeLessThan(0.52);
  });

  test('an escalation limit takes the most accurate point below it', () => {
    const choice = choose(points, 4000, { escalation: 0.4 }, 0.05);
    if (!('point' in choice)) throw new Error(choice.unmet);
    expect(choice.point.threshold).toBeGreaterThan(0.36);
    expect(choice.point.threshold).toBeLessThanOrEqual(0.4);
  });

  test('a goal beyond reach is declined with what can be certified', () => {
    expect(choose(points, 4000, { accuracy: 0.95 }, 0.05)).toEqual({
      unmet: expect.stringMatching(
        /^\d+\.\d\d % right with 100.00 % escalated certifies an accuracy of .* 95.00 % is asked for$/,
      ),
    });
    expect(choose(points, 4000, { accuracy: 0.85, escalation: 0.3 }, 0.05)).toHaveProperty('unmet');
  });

  test.each([0, 0.0001])('a limit of %d is met by escalating nothing, however few the pictures', (escalation) => {
    const few = curve(draw(20, randomNumbers(3)));
    expect(choose(few, 20, { escalation }, 0.05)).toMatchObject({ point: { threshold: 0, escalated: 0 } });
  });

  /** Experts that are right about three quarters of what is escalated, whatever the generalist thinks of it. */
  test.each([
    ['the generalist alone reaches', 0.86, 0],
    ['only few escalations reach', 0.92, 0.3],
  ])('an accuracy that %s is found though asking always does not', (_, accuracy, threshold) => {
    const random = randomNumbers(8);
    const pictures = Array.from({ length: 8000 }, () => {
      const value = random();
      return { value, edgeRight: random() < Math.min(1, 0.4 + 2 * value), expertRight: random() < 0.75 };
    });
    const points = curve(pictures.slice(4000), candidates(pictures.slice(0, 4000)));
    const choice = choose(points, 4000, { accuracy }, 0.05);
    if (!('point' in choice)) throw new Error(choice.unmet);
    expect(choice.point.threshold).toBeLessThan(threshold + 0.01);
    expect(points.at(-1)?.right).toBeLessThan(0.8 * 4000);
  });

  test('an accuracy whose escalations cannot be certified is declined for these', () => {
    const few = curve(draw(200, randomNumbers(4)));
    expect(choose(few, 200, { accuracy: 0.4625, escalation: 0.06 }, 0.05)).toEqual({
      unmet: expect.stringMatching(/is certified with up to .* escalated, at most 6.00 %/),
    });
  });

  test('an accuracy that only fewer escalations would reach is not claimed', () => {
    const worse = draw(4000, randomNumbers(2)).map((picture) => ({ ...picture, expertRight: false }));
    expect(choose(curve(worse), 4000, { accuracy: 0.4 }, 0.05)).toHaveProperty('unmet');
  });

  /** The certificate: over calibrations, the chosen point misses the goal in at most delta of the cases. */
  test.each([
    ['accuracy', { accuracy: 0.82 }],
    ['escalation', { escalation: 0.35 }],
    ['both', { accuracy: 0.78, escalation: 0.55 }],
  ] as const)(
    'of %s holds over simulated calibrations',
    (_, goal) => {
      const random = randomNumbers(7);
      const [trials, delta] = [600, 0.1];
      let broken = 0;
      let met = 0;
      for (let trial = 0; trial < trials; trial++) {
        const choice = choose(curve(draw(300, random)), 300, goal, delta);
        if (!('point' in choice)) continue;
        met += 1;
        const { threshold } = choice.point;
        const short = 'accuracy' in goal && trueAccuracy(threshold) < goal.accuracy;
        const over = 'escalation' in goal && threshold > goal.escalation;
        if (short || over) broken += 1;
      }
      expect(met).toBeGreaterThan(trials / 4);
      // Three standard deviations of the simulation itself above delta.
      expect(broken / trials).toBeLessThanOrEqual(delta + 3 * Math.sqrt((delta * (1 - delta)) / trials));
    },
    120_000,
  );

  test('without the certificate the same goal would be missed far more often', () => {
    const random = randomNumbers(7);
    let broken = 0;
    for (let trial = 0; trial < 200; trial++) {
      const naive = curve(draw(300, random)).find((point) => point.right / 300 >= 0.82);
      if (naive && trueAccuracy(naive.threshold) < 0.82) broken += 1;
    }
    expect(broken / 200).toBeGreaterThan(0.3);
  });
});

describe('the best metric', () => {
  const logs = (...shares: number[]) => Float32Array.from(shares, Math.log);
  /** Torn between two: wrong, and the expert knows better. Unsure but ahead: right, and the expert is wrong. */
  const torn = { edge: logs(0.5, 0.49, 0.01), expert: logs(0.01, 0.98, 0.01), label: 1 };
  const ahead = { edge: logs(0.45, 0.28, 0.27), expert: logs(0.01, 0.98, 0.01), label: 0 };
  const pictures = Array.from({ length: 200 }, (_, i) => (i % 4 < 2 ? torn : ahead));
  const predictions = {
    labels: Uint16Array.from(pictures, ({ label }) => label),
    held: Uint8Array.from(pictures, (_, i) => i % 2),
    rows: undefined,
    logits: new Map([
      ['generalist', pictures.map(({ edge }) => edge)],
      ['only', pictures.map(({ expert }) => expert)],
    ]),
  };
  const cascade = {
    generalist: { id: 'generalist', temperature: 1 },
    experts: [{ id: 'only', classes: [0, 1, 2], temperature: 1 }],
    gate: { measure: 'max-probability', escalates: 'below', threshold: 0.5 },
    routing: {
      k: 1,
      scoring: { method: 'top-k-mass' },
      merge: { generalistWeight: 0, expertWeight: 1 },
    },
  } as unknown as CascadeView;

  test.each([{ escalation: 0.6 }, { accuracy: 0.99 }])('serves the goal %o', (goal) => {
    expect(chooseMetric('best', cascade, predictions, goal)).toBe('margin');
  });

  test('is taken only if asked for', () => {
    expect(chooseMetric(undefined, cascade, predictions, {})).toBe('max-probability');
    expect(chooseMetric('entropy', cascade, predictions, {})).toBe('entropy');
  });
});

test('a mean cost leaves room for so many escalations', () => {
  expect(affordable(6, { edge: 2, escalation: 10 })).toBeCloseTo(0.4);
  expect(affordable(20, { edge: 2, escalation: 10 })).toBe(1);
  expect(affordable(1.9, { edge: 2, escalation: 10 })).toBe(-1);
  expect(affordable(2, { edge: 2, escalation: 0 })).toBe(1);
});
