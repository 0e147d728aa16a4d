import { describe, expect, test } from 'vitest';
import { createTokenBuckets } from '../../../../services/edge/keys/token-bucket.ts';

describe('a rate', () => {
  test('lets as many in at once as may come in a second, then as time goes by; it says how long to wait', () => {
    let now = 5000;
    const take = createTokenBuckets(() => now);
    expect([take('a', 2), take('a', 2), take('a', 2)]).toEqual([0, 0, 500]);
    now += 250;
    expect(take('a', 2)).toBe(250);
    now += 250;
    expect([take('a', 2), take('a', 2)]).toEqual([0, 500]);
    now += 60_000;
    expect([take('a', 2), take('a', 2), take('a', 2)]).toEqual([0, 0, 500]);
  });

  test('below one a second is kept over seconds, and each name has its own', () => {
    let now = 0;
    const take = createTokenBuckets(() => now);
    expect([take('a', 0.1), take('a', 0.1), take('b', 0.1)]).toEqual([0, 10_000, 0]);
    now += 9999;
    expect(take('a', 0.1)).toBeCloseTo(1, 6);
    now += 1;
    expect(take('a', 0.1)).toBe(0);
  });
});
