import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { enlargeWarm } from '../support/own-eyes.ts';
import { spawnService } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';

test('encodings: experts that want other pixels than the generalist are measured on their own', async () => {
  await using bundle = await makeTinyBundle({ extend: enlargeWarm });
  const data = await mkdtemp(join(tmpdir(), 'ask-views-'));
  for (const [name, colour] of [
    ['grey', UNSURE_WARM],
    ['blue', UNSURE_COLD],
  ] as const) {
    await mkdir(join(data, name));
    await writeFile(join(data, name, 'a.png'), await flatPng(colour, 40, 24));
  }
  const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' };
  await using command = spawnService('cli', env, ['encodings', '--data', data, '--dry-run', '--json']);
  expect(await command.exited).toBe(0);
  const { pictures, escalated, table } = JSON.parse(command.output());
  expect([pictures, escalated, table.every(({ accuracy }: { accuracy: number }) => accuracy === 1)]).toEqual([
    2,
    2,
    true,
  ]);
  await rm(data, { recursive: true });
});
