import { describe, expect, test } from 'vitest';
import { createDecodeTimes } from '../../../shared/imaging/decode-times.ts';

describe('limits: the times of decoding', () => {
  test('is learnt for each kind, within bounds', () => {
    const times = createDecodeTimes();
    expect(times.estimate('PNG', 100)).toBe(100);
    for (let i = 0; i < 200; i++) times.record('PNG', 100, 200);
    expect(times.estimate('PNG', 100)).toBeCloseTo(200, 0);
    expect(times.estimate('JPEG', 100)).toBe(100);
    for (let i = 0; i < 200; i++) times.record('PNG', 100, 100_000);
    expect(times.estimate('PNG', 100)).toBeLessThanOrEqual(300);
  });

  test('forgets a slow time of which nothing new is learnt', () => {
    const times = createDecodeTimes();
    for (let i = 0; i < 50; i++) times.record('PNG', 100, 300);
    for (let i = 0; i < 50; i++) times.skip('PNG');
    expect(times.estimate('PNG', 100)).toBeLessThan(105);
  });

  test('takes no lesson from what is over at once', () => {
    const times = createDecodeTimes();
    for (let i = 0; i < 50; i++) times.record('PNG', 0.1, 50);
    expect(times.estimate('PNG', 100)).toBe(100);
  });
});
