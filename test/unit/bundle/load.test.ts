import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadBundle } from '../../../shared/bundle/load.ts';
import type { ManifestV1 } from '../../../shared/bundle/manifest-v1.ts';
import { makeTinyBundle } from '../../support/tiny-bundle.ts';

async function failureOf(change: (manifest: ManifestV1) => void): Promise<string> {
  await using bundle = await makeTinyBundle({ change });
  return loadBundle(bundle.directory).then(
    () => 'accepted',
    (error: Error) => error.message,
  );
}

test('bundle: the version of its policy follows the routing', async () => {
  await using one = await makeTinyBundle();
  await using other = await makeTinyBundle({
    change: (manifest) => {
      manifest.routing.threshold = 0.5;
    },
  });
  const bundles = await Promise.all([one, one, other].map(({ directory }) => loadBundle(directory)));
  const [first, again, changed] = bundles.map(({ policyVersion }) => policyVersion);
  expect(first).toMatch(/^[0-9a-f]{12}$/);
  expect(again).toBe(first);
  expect(changed).not.toBe(first);
});

describe('bundle: a wrong manifest is refused with the name of the field', () => {
  test.each<[string, object, string]>([
    ['digest', { generalist: { sha256: 'abc' } }, 'generalist.sha256'],
    ['threshold', { routing: { threshold: 2 } }, 'routing.threshold'],
    [
      'logits',
      { experts: { 1: { outputs: { logits: 5 } } } },
      "strategies.ask.experts.1.model: the output 'logits' of 'cold'",
    ],
    ['class', { experts: { 0: { classes: { 2: 9 } } } }, 'experts.0.classes'],
    ['owner', { routing: { classToExpert: { 2: 'nobody' } } }, "there is no expert 'nobody'"],
    ['stranger', { routing: { classToExpert: { 2: 'warm' } } }, 'routing.classToExpert.2'],
    ['twins', { experts: { 1: { id: 'warm' } } }, "'warm' is used twice"],
    ['labels', { labels: { 1: 'red' } }, 'labels: a label occurs twice'],
    ['path', { generalist: { file: '../x.onnx' } }, 'generalist.file'],
    ['golden', { golden: { file: '/etc/passwd' } }, 'golden.file'],
    ['metric', { routing: { metric: 'expected-gain' } }, 'strategies.ask.gate.measure'],
    ['scoring', { routing: { scoring: { method: 'expected-gain', weights: {}, intercepts: {} } } }, 'routing.scoring'],
    ['version', { schemaVersion: 3 }, 'schemaVersion 3, this program reads up to 2'],
  ])('%s', async (_, wrong, expected) => {
    expect(await failureOf((manifest) => overwrite(manifest, wrong))).toContain(expected);
  });

  test('a missing or broken file', async () => {
    await using bundle = await makeTinyBundle();
    await writeFile(join(bundle.directory, 'manifest.json'), '{');
    await expect(loadBundle(bundle.directory)).rejects.toThrow('manifest.json cannot be read');
    await expect(loadBundle('/nowhere')).rejects.toThrow('/nowhere/manifest.json cannot be read');
  });
});

function overwrite(target: object, wrong: object): void {
  for (const [key, value] of Object.entries(wrong)) {
    const inner = (target as Record<string, unknown>)[key];
    if (typeof value === 'object' && inner !== undefined) overwrite(inner as object, value);
    else Object.assign(target, { [key]: value });
  }
}
