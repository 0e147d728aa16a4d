import { describe, expect, test } from 'vitest';
import { candidates, curve } from '../../../../services/cli/calibrate/curve.ts';

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

  test('resolve the pictures that a good generalist is almost sure of', () => {
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
