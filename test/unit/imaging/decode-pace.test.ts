import { describe, expect, test } from 'vitest';
import { createDecodePace } from '../../../shared/imaging/decode-pace.ts';

describe('decode pace', () => {
  test('is learnt for each kind, within bounds', () => {
    const pace = createDecodePace();
    expect(pace.expect('PNG', 100)).toBe(100);
    for (let i = 0; i < 200; i++) pace.learn('PNG', 100, 200);
    expect(pace.expect('PNG', 100)).toBeCloseTo(200, 0);
    expect(pace.expect('JPEG', 100)).toBe(100);
    for (let i = 0; i < 200; i++) pace.learn('PNG', 100, 100_000);
    expect(pace.expect('PNG', 100)).toBeLessThanOrEqual(300);
  });

  test('forgets a slow time of which nothing new is learnt', () => {
    const pace = createDecodePace();
    for (let i = 0; i < 50; i++) pace.learn('PNG', 100, 300);
    for (let i = 0; i < 50; i++) pace.forgo('PNG');
    expect(pace.expect('PNG', 100)).toBeLessThan(105);
  });

  test('learns nothing from what is over at once', () => {
    const pace = createDecodePace();
    for (let i = 0; i < 50; i++) pace.learn('PNG', 0.1, 50);
    expect(pace.expect('PNG', 100)).toBe(100);
  });
});
