import { globSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hasKubectl, readManifests, withoutKubectl, workloadsOf } from '../support/infra/manifests.ts';
import { runBlock } from '../support/infra/readme-commands.ts';
import { readText, root } from '../support/infra/repository.ts';

describe.runIf(hasKubectl)(`infra README: commands${withoutKubectl}`, () => {
  test('the namespace is made before what goes into it, the Secrets of the base before the base', () => {
    const { calls, secrets } = runBlock('kubectl label node');
    expect(calls.map((call) => call.split(' ').slice(0, 3).join(' '))).toEqual([
      'label node NODE',
      'apply -f infra/k3s/base/namespace.yaml',
      '-n ask-the-expert create',
      '-n ask-the-expert create',
      'apply -k infra/k3s/base',
    ]);
    expect(Object.fromEntries(secrets)).toEqual({ 'nats-passwords': ['edge', 'expert'], 'api-keys': ['keys'] });
    const asked = workloadsOf(readManifests('infra/k3s/base')).flatMap(({ spec }) =>
      Object.entries(spec.template.spec.nodeSelector ?? {}).map(([key, value]) => `${key}=${value}`),
    );
    expect(calls[0]?.split(' ').slice(3).sort(), 'labels').toEqual([...new Set(asked)].sort());
  });

  test('the namespace is made before the Secrets for TLS', () => {
    const { calls } = runBlock('sh infra/nats/certificate.sh');
    expect(calls[0]).toBe('apply -f infra/k3s/base/namespace.yaml');
    for (const call of calls.slice(1)) expect(call).toMatch(/^-n ask-the-expert create secret /);
    expect(calls.length).toBeGreaterThan(4);
  });
});

test('infra: no file starts Node by npx, which leaves orphans behind', () => {
  const files = globSync('infra/**/*.*', { cwd: root });
  expect(files.length).toBeGreaterThan(15);
  expect(files.filter((file) => readText(file).includes('npx node'))).toEqual([]);
});
