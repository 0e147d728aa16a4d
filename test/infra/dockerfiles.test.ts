import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readStages, type Stage, sourcesOf, wordsOf } from './support/dockerfile.ts';
import { collectImports } from './support/imports.ts';
import { findManifest, readManifests, type Workload } from './support/manifests.ts';
import { inRepository, packageJson, readText } from './support/repository.ts';

const nodeMajor = packageJson.dependencies.node?.split('.')[0];
const base = readManifests('infra/k3s/base');

const services = [
  { service: 'edge', kind: 'DaemonSet' },
  { service: 'expert', kind: 'Deployment' },
];

const isUnder = (path: string, folders: string[]) =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

describe.each(services)('the image of the $service', ({ service, kind }) => {
  const [dependencies, image] = readStages(`infra/docker/${service}.Dockerfile`) as [Stage, Stage];
  const { spec } = findManifest(base, kind, service) as Workload;
  const [command = []] = wordsOf(image, 'CMD').map((words) => JSON.parse(words.join(' ')) as string[]);
  const copied = sourcesOf(image);

  test.each([
    ['dependencies', dependencies],
    ['image', image],
  ])('starts from the Node of package.json: %s', (_, stage) => {
    expect(stage.from.words[0]).toMatch(/^node:\d+-bookworm-slim$/);
    expect(stage.from.words[0]).toBe(`node:${nodeMajor}-bookworm-slim`);
  });

  test('installs for the target platform on the platform of the builder', () => {
    expect(dependencies.from.flags.platform).toBe('$BUILDPLATFORM');
    expect(wordsOf(dependencies, 'RUN')).toEqual([['sh', 'install.sh', '"$TARGETARCH"']]);
    expect(wordsOf(image, 'RUN')).toEqual([]);
    expect(sourcesOf(dependencies)).toEqual(
      expect.arrayContaining(['package.json', 'package-lock.json', '.npmrc', 'infra/docker/install.sh']),
    );
  });

  test('copies only what exists and what .dockerignore lets through', () => {
    const admitted = readText('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    for (const source of [...sourcesOf(dependencies), ...copied]) {
      expect(existsSync(inRepository(source)), `${source} exists`).toBe(true);
      expect(isUnder(source, admitted), `.dockerignore admits ${source}`).toBe(true);
    }
  });

  test('starts the service itself, as process 1', () => {
    expect(command).toEqual(packageJson.scripts[service]?.replace('exec ', '').split(' '));
  });

  test('holds every file and every package that the service imports', () => {
    const { files, packages } = collectImports(command.at(-1) ?? '');
    expect(files.filter((file) => !isUnder(file, copied))).toEqual([]);
    expect(packages.filter((name) => !Object.hasOwn(packageJson.dependencies, name))).toEqual([]);
    expect(files.length).toBeGreaterThan(1);
  });

  test('runs as the user of the manifest, by number, which Kubernetes can tell from root', () => {
    const { runAsUser } = spec.template.spec.securityContext;
    expect(wordsOf(image, 'USER')).toEqual([[`${runAsUser}:${runAsUser}`]]);
  });

  test('listens where the manifest says', () => {
    const [container] = spec.template.spec.containers;
    const settings = Object.fromEntries(wordsOf(image, 'ENV').flatMap((words) => words.map((word) => word.split('='))));
    expect(container?.env).toEqual(
      expect.arrayContaining(Object.entries(settings).map(([name, value]) => ({ name, value }))),
    );
    expect(wordsOf(image, 'EXPOSE')).toEqual([[String(container?.ports[0]?.containerPort)]]);
  });
});
