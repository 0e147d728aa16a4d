import { describe, expect, test } from 'vitest';
import { createTokenBuckets } from '../../../../services/edge/keys/token-bucket.ts';

describe('token bucket', () => {
  test("a second's worth may come at once, then as many as time brings; a refusal says how long to wait", () => {
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

  test('a rate below one a second is kept over seconds, and each name has its own bucket', () => {
    let now = 0;
    const take = createTokenBuckets(() => now);
    expect([take('a', 0.1), take('a', 0.1), take('b', 0.1)]).toEqual([0, 10_000, 0]);
    now += 9999;
    expect(take('a', 0.1)).toBeCloseTo(1, 6);
    now += 1;
    expect(take('a', 0.1)).toBe(0);
  });
});
