import { expect, test } from 'vitest';
import { relaunchEnvironment } from '../../../shared/settings/relaunch.ts';

test('relaunch: a limit on freed memory is added to the environment, unless there is one', () => {
  const environment = { PORT: '1', NODE_COMPILE_CACHE: '/elsewhere' };
  expect(relaunchEnvironment(environment)).toEqual({ ...environment, MALLOC_TRIM_THRESHOLD_: '1048576' });
  expect(relaunchEnvironment({})?.NODE_COMPILE_CACHE).toMatch(/\.cache.compile$/);
  expect(relaunchEnvironment({ MALLOC_TRIM_THRESHOLD_: '5' })).toBe(undefined);
});
