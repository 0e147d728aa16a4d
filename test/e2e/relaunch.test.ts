import { readFile } from 'node:fs/promises';
import { platform } from 'node:os';
import { expect, test } from 'vitest';
import { spawnHttp } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';

test.runIf(platform() === 'linux')(
  'relaunch: a service runs with limits on the memory that glibc and V8 keep',
  async () => {
    await using bundle = await makeTinyBundle();
    const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' };
    await using edge = await spawnHttp('local', env);
    expect(await readFile(`/proc/${edge.pid}/environ`, 'utf8')).toContain('MALLOC_TRIM_THRESHOLD_=1048576\0');
    expect(await readFile(`/proc/${edge.pid}/cmdline`, 'utf8')).toContain(
      '--max-semi-space-size=16\0--heap-growing-percent=200\0',
    );
    await using own = await spawnHttp('local', { ...env, MALLOC_TRIM_THRESHOLD_: '131072' });
    expect(await readFile(`/proc/${own.pid}/environ`, 'utf8')).toContain('MALLOC_TRIM_THRESHOLD_=131072\0');
  },
);
