import { expect, test } from 'vitest';
import { createRunLimit } from '../../../shared/inference/run-limit.ts';

test('run limit: twenty times the longest recent run, a second at least; half a minute where it loads', () => {
  const limit = createRunLimit();
  expect([limit.allow(true), limit.allow(false)]).toEqual([30_000, 30_000]);
  limit.ended(3);
  expect(limit.allow(true)).toBe(1000);
  limit.ended(200);
  expect([limit.allow(true), limit.allow(false)]).toEqual([4000, 30_000]);
  limit.ended(5000);
  expect(limit.allow(true)).toBe(30_000);
  for (let i = 0; i < 300; i++) limit.ended(100);
  expect(limit.allow(true)).toBeLessThan(6000);
});
