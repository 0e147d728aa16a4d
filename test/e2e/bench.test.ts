import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { markdown } from '../bench/report.ts';

test('bench: it prints every figure of the contract, from real processes', async () => {
  const { stdout } = await promisify(execFile)('npm', [
    ...['run', '-s', 'bench', '--', '--json', '--seconds', '0.3', '--rounds', '1', '--profile'],
  ]);
  const found = JSON.parse(stdout);
  for (const name of [
    'edgeP50OverRawMs',
    'throughputOverRaw',
    'escalationOverheadP50Ms',
    'eventLoopDelayP99Ms',
    'startToFirstAnswerMs',
    'startToWholeAnswerMs',
    'rssMb',
  ]) {
    expect(found[name], name).toEqual(expect.any(Number));
  }
  expect(found.throughputOverRaw).toBeGreaterThan(0);
  expect(found.machine).toMatchObject({ seconds: 0.3, rounds: 1, cores: expect.any(Number) });
  expect(markdown(found)).toMatch(/^# What the service costs[\s\S]*\n\| saturated throughput over raw onnxruntime/);
  expect(found.profile.length).toBeGreaterThan(3);
}, 240_000);
