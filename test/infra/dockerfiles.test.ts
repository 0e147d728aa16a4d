import { globSync } from 'node:fs';
import { matchesGlob } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { readStages, type Stage, sourcesOf, wordsOf } from '../support/infra/dockerfile.ts';
import { collectImports } from '../support/infra/imports.ts';
import { findManifest, readManifests, type Workload } from '../support/infra/manifests.ts';
import { packageJson, readText, root } from '../support/infra/repository.ts';

const nodeMajor = packageJson.dependencies.node?.split('.')[0];
const base = readManifests('infra/k3s/base');
const stages = readStages('infra/images/Dockerfile');
const bundle = await loadBundle('models/default');
const filesOf = (ids: string[]) => ids.map((id) => bundle.manifest.models[id]?.file);

const services = [
  { service: 'edge', kind: 'DaemonSet', models: filesOf(bundle.here) },
  { service: 'expert', kind: 'Deployment', models: filesOf(bundle.there) },
];

const stageOf = (name: string) => stages.find((stage) => stage.name === name) as Stage;

const isUnder = (path: string, sources: string[]) =>
  sources.some((source) => matchesGlob(path, source) || path.startsWith(`${source}/`));

test.each(stages.filter(({ from }) => from.words[0]?.includes('/')))(
  'Dockerfile: $name starts from the Node of package.json, by its full name',
  ({ from }) => {
    expect(from.words[0]).toBe(`docker.io/library/node:${nodeMajor}-bookworm-slim`);
  },
);

test.each(['dependencies', 'init'])('Dockerfile: %s runs on the platform of the builder, for the target', (name) => {
  const { from } = stageOf(name);
  expect(from.flags.platform).toBe('$BUILDPLATFORM');
  const [[shell, script, architecture] = []] = wordsOf(stageOf(name), 'RUN');
  expect([shell, architecture]).toEqual(['sh', '"$TARGETARCH"']);
  expect(sourcesOf(stageOf(name))).toContain(`infra/images/${script}`);
});

test('Dockerfile: the dependencies are those of the lock file', () => {
  expect(sourcesOf(stageOf('dependencies'))).toEqual(
    expect.arrayContaining(['package.json', 'package-lock.json', '.npmrc']),
  );
});

test('Dockerfile: only files that exist and that .dockerignore lets through are copied', () => {
  const rules = readText('.dockerignore').split('\n');
  const admitted = rules.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  for (const source of stages.flatMap(sourcesOf)) {
    expect(globSync(source, { cwd: root }), `${source} exists`).not.toEqual([]);
    expect(isUnder(source, admitted), `.dockerignore admits ${source}`).toBe(true);
  }
});

describe.each(services)('Dockerfile: the image of the $service', ({ service, kind, models }) => {
  const image = stageOf(service);
  const common = stageOf('service');
  const { spec } = findManifest(base, kind, service) as Workload;
  const [entrypoint = []] = wordsOf(image, 'ENTRYPOINT').map((words) => JSON.parse(words.join(' ')) as string[]);
  const copied = [...sourcesOf(common), ...sourcesOf(image)];

  test('runs nothing that it is built of', () => {
    expect(image.from.words[0]).toBe('service');
    expect([...wordsOf(common, 'RUN'), ...wordsOf(image, 'RUN')]).toEqual([]);
  });

  test('starts the service itself, below an init that hands signals on and reaps orphans', () => {
    expect(entrypoint.slice(0, 2)).toEqual(['tini', '--']);
    expect(entrypoint.slice(-2)).toEqual(packageJson.scripts[service]?.split(' ').slice(-2));
    expect(entrypoint).toHaveLength(4);
    expect(wordsOf(image, 'CMD')).toEqual([]);
  });

  test('holds every file and every package that the service imports', () => {
    const { files, packages } = collectImports(entrypoint.at(-1) ?? '');
    expect(files.filter((file) => !isUnder(file, copied))).toEqual([]);
    expect(packages.filter((name) => !Object.hasOwn(packageJson.dependencies, name))).toEqual([]);
    expect(files.length).toBeGreaterThan(1);
  });

  test('holds the models that the service runs, and what checks them, and no others', () => {
    const held = globSync(
      copied.filter((source) => source.startsWith('models/')),
      { cwd: root },
    );
    const needed = ['manifest.json', bundle.manifest.golden?.file, ...models];
    expect(held.sort()).toEqual(needed.map((file) => `models/default/${file}`).sort());
  });

  test('runs as the user of the manifest, by number, which Kubernetes can tell from root', () => {
    const { runAsUser } = spec.template.spec.securityContext;
    expect(wordsOf(common, 'USER')).toEqual([[`${runAsUser}:${runAsUser}`]]);
    expect(wordsOf(image, 'USER')).toEqual([]);
  });

  test('listens where the manifest says', () => {
    const [container] = spec.template.spec.containers;
    const words = [common, image].flatMap((stage) => wordsOf(stage, 'ENV')).flat();
    const settings = Object.fromEntries(words.map((word) => word.split('=')));
    expect(settings.ORT_DISABLE_TELEMETRY).toBe('1');
    delete settings.ORT_DISABLE_TELEMETRY;
    expect(container?.env).toEqual(
      expect.arrayContaining(Object.entries(settings).map(([name, value]) => ({ name, value }))),
    );
    expect(wordsOf(image, 'EXPOSE')).toEqual([[String(container?.ports[0]?.containerPort)]]);
  });
});
