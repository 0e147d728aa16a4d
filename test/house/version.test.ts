import { expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import lock from '../../package-lock.json' with { type: 'json' };
import { readText } from '../support/infra/repository.ts';

/** package.json says it; these files must repeat it. */
test.each([
  ['training/pyproject.toml', /^version = "(.+)"$/m],
  ['infra/k3s/base/edge.yaml', /image: ask-the-expert\/edge:(\S+)/],
  ['infra/k3s/base/expert.yaml', /image: ask-the-expert\/expert:(\S+)/],
  ['CHANGELOG.md', /^## (\d+\.\d+\.\d+)/m],
])('version: %s has that of package.json', (path, form) => {
  expect(form.exec(readText(path))?.[1]).toBe(packageJson.version);
});

test('version: the lock file has that of package.json', () => {
  expect([lock.version, lock.packages[''].version]).toEqual([packageJson.version, packageJson.version]);
});
