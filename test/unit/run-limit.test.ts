import { expect, test } from 'vitest';
import { createRunLimit } from '../../shared/run-limit.ts';

test('a run may take twenty times the longest so far, a second at least; one that must load first, half a minute', () => {
  const limit = createRunLimit();
  expect([limit.allow(true), limit.allow(false)]).toEqual([30_000, 30_000]);
  limit.ended(3);
  expect(limit.allow(true)).toBe(1000);
  for (const runMs of [200, 100]) limit.ended(runMs);
  expect([limit.allow(true), limit.allow(false)]).toEqual([4000, 30_000]);
});
