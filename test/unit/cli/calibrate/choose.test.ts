import { describe, expect, test } from 'vitest';
import { choose } from '../../../../services/cli/calibrate/choose.ts';
import { candidates, curve, type Picture } from '../../../../services/cli/calibrate/curve.ts';
import { randomNumbers } from '../../../support/predictions.ts';

/** Confidence v is spread evenly; the edge is right with probability v, the expert with 0.9 whatever v is. */
function draw(count: number, random: () => number): Picture[] {
  return Array.from({ length: count }, () => {
    const value = random();
    return { value, edgeRight: random() < value, expertRight: random() < 0.9 };
  });
}
/** Expected over all pictures, of a threshold t. */
const trueAccuracy = (t: number) => 0.9 * t + (1 - t ** 2) / 2;

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
  ])('an accuracy that %s is found, though asking always misses it', (_, accuracy, threshold) => {
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

  test('an accuracy is declined where its escalations cannot be certified', () => {
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
    'the certificate of %s holds over simulated calibrations',
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
