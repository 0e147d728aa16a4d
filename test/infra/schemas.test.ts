import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasKubectl, withoutKubectl } from '../support/infra/manifests.ts';
import { inRepository } from '../support/infra/repository.ts';
import { findTool } from '../support/tools.ts';

const VERSION = '1.36';
const validator = findTool('kubernetes-validate');

const build = (directory: string) =>
  execFileSync('kubectl', ['kustomize', inRepository(directory)], { encoding: 'utf8' });

/** Holds the documents against the schemas of Kubernetes: what it says of those that it refuses. */
function validate(documents: string): { refused: string[]; passed: number } {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-schemas-'));
  const file = join(folder.path, 'documents.yaml');
  writeFileSync(file, documents);
  const { status, stdout, stderr } = spawnSync(validator as string, ['-k', VERSION, '--strict', file], {
    encoding: 'utf8',
  });
  const lines = `${stdout}${stderr}`.trim().split('\n');
  const refused = lines.filter((line) => !line.startsWith('INFO'));
  expect(status, refused.join('\n')).toBe(refused.length ? 1 : 0);
  return { refused, passed: lines.length - refused.length };
}

describe.skipIf(!validator || !hasKubectl)(`schemas: Kubernetes ${VERSION}${withoutKubectl}`, () => {
  test.each(['base', 'overlays/local', 'overlays/tls'])('admit all that is applied: %s', (directory) => {
    const { refused, passed } = validate(build(`infra/k3s/${directory}`));
    expect(refused).toEqual([]);
    expect(passed).toBeGreaterThan(12);
  });

  test.each([
    ['a misspelt key', 'livenessProbe:', 'livenesProbe:', 'livenesProbe'],
    ['a value of another type', 'replicas: 2', 'replicas: two', 'replicas'],
  ])('refuse %s', (_, right, wrong, named) => {
    const { refused } = validate(build('infra/k3s/base').replace(right, wrong));
    expect(refused.join('\n')).toContain(named);
  });
});
