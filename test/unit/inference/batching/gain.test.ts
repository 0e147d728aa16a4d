import { expect, test } from 'vitest';
import { createBatchGain } from '../../../../shared/inference/batching/gain.ts';

const choices = (gain: ReturnType<typeof createBatchGain>, count: number) =>
  Array.from({ length: count }, () => gain.choose(4));

test('batch gain: pictures run together while either time is unknown', () => {
  const gain = createBatchGain();
  expect(choices(gain, 5)).toEqual(Array(5).fill(4));
  gain.record(1, 5);
  expect(gain.choose(4)).toBe(4);
  expect(gain.choose(1)).toBe(1);
});

test('batch gain: pictures run together only where that saves time; now and then the other way is tried', () => {
  const gain = createBatchGain();
  gain.record(1, 5);
  gain.record(4, 4 * 4.9);
  const worse = choices(gain, 320);
  expect(worse.filter((count) => count === 4)).toHaveLength(10);
  expect(worse.filter((count) => count === 1)).toHaveLength(310);
  for (let i = 0; i < 20; i++) gain.record(2, 2 * 3.8);
  expect(choices(gain, 320).filter((count) => count === 4)).toHaveLength(310);
});
