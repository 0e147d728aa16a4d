import { expect, test } from 'vitest';
import { frugalEnvironment } from '../../../shared/settings/relaunch.ts';

test('relaunch: a limit on freed memory is added to the environment, unless there is one', () => {
  const environment = { PORT: '1', NODE_COMPILE_CACHE: '/elsewhere' };
  expect(frugalEnvironment(environment)).toEqual({ ...environment, MALLOC_TRIM_THRESHOLD_: '1048576' });
  expect(frugalEnvironment({})?.NODE_COMPILE_CACHE).toMatch(/\.cache.compile$/);
  expect(frugalEnvironment({ MALLOC_TRIM_THRESHOLD_: '5' })).toBe(undefined);
});
