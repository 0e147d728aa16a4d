import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempDisposableSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inRepository, packageJson } from '../support/infra/repository.ts';

const tools = ['cat', 'dirname', 'mkdir', 'rm', 'sed', 'sh', 'uname'];
const found = (tool: string) =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, tool))
    .find((path) => existsSync(path));

/** Engines that write down how they are called; those that do not work fail at whatever they are asked. */
type Engines = Partial<Record<'docker' | 'podman' | 'buildah', 'works' | 'fails' | 'has no BuildKit'>>;

function runBuild(args: string[], { engines = {}, engine }: { engines?: Engines; engine?: string } = {}) {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-build-'));
  const bin = join(folder.path, 'bin');
  mkdirSync(bin);
  for (const tool of tools) symlinkSync(found(tool) as string, join(bin, tool));
  const calls = join(folder.path, 'calls');
  for (const [name, state] of Object.entries(engines)) {
    const refuses = state === 'fails' ? 'exit 1' : state === 'works' ? '' : '[ "$1" != build ] || exit 1';
    writeFileSync(join(bin, name), `#!/bin/sh\n${refuses}\necho "${name} $@" >> '${calls}'\n`, { mode: 0o755 });
  }
  const filled = args.map((arg) => arg.replace('FOLDER', join(folder.path, 'images')));
  const { status, stdout, stderr } = spawnSync('sh', [inRepository('infra/images/build.sh'), ...filled], {
    env: { PATH: bin, ...(engine !== undefined && { ENGINE: engine }) },
    encoding: 'utf8',
  });
  const called = existsSync(calls) ? readFileSync(calls, 'utf8').replaceAll(folder.path, '').trim().split('\n') : [];
  return { status, stdout, stderr, called: called.filter((call) => !/ (info|version|build --help)$/.test(call)) };
}

const image = (service: string) => `docker.io/ask-the-expert/${service}:${packageJson.version}`;

describe('build.sh', () => {
  test.each(['--help', '-h'])('%s says what there is and builds nothing', (flag) => {
    const { status, stdout, stderr, called } = runBuild([flag], { engines: { docker: 'works' } });
    expect({ status, stderr, called }).toEqual({ status: 0, stderr: '', called: [] });
    for (const named of ['--arch', '--network', '--save', '--which', 'ENGINE']) expect(stdout).toContain(named);
  });

  test.each([
    [['--platform', 'linux/arm64'], "unknown argument '--platform'"],
    [['edge'], "unknown argument 'edge'"],
    [[''], "unknown argument ''"],
    [['--arch=arm64'], "unknown argument '--arch=arm64'"],
    [['--arch'], '--arch needs a value'],
    [['--save', ''], '--save needs a value'],
    [['--arch', 'riscv64'], "--arch must be amd64 or arm64, not 'riscv64'"],
  ])('refuses %j', (args, message) => {
    const { status, stderr, called } = runBuild(args, { engines: { docker: 'works' } });
    expect({ status, called }).toEqual({ status: 2, called: [] });
    expect(stderr).toContain(message);
  });

  test.each<[string, Engines, string]>([
    ['docker first', { docker: 'works', podman: 'works', buildah: 'works' }, 'docker'],
    ['no docker without its daemon', { docker: 'fails', podman: 'works' }, 'podman'],
    ['no docker without BuildKit', { docker: 'has no BuildKit', buildah: 'works' }, 'buildah'],
    ['buildah where it is alone', { buildah: 'works' }, 'buildah'],
  ])('takes the first engine that works: %s', (_, engines, expected) => {
    const { status, stdout, called } = runBuild(['--which'], { engines });
    expect({ status, stdout, called }).toEqual({ status: 0, stdout: `${expected}\n`, called: [] });
  });

  test.each<[string, { engines?: Engines; engine?: string }, string]>([
    ['no engine is there', {}, 'install docker, podman or buildah'],
    ['none works', { engines: { docker: 'fails', podman: 'fails' } }, 'install docker, podman or buildah'],
    [
      'the named one does not work',
      { engines: { podman: 'fails', docker: 'works' }, engine: 'podman' },
      'ENGINE: podman',
    ],
    ['the named one is none', { engines: { docker: 'works' }, engine: 'kaniko' }, "not 'kaniko'"],
  ])('says so where %s', (_, options, message) => {
    const { status, stderr, called } = runBuild([], options);
    expect(status).toBeGreaterThan(0);
    expect(called).toEqual([]);
    expect(stderr).toContain(message);
  });

  test('builds both images for the platform, under the names of the manifests, and saves them', () => {
    const args = ['--arch', 'arm64', '--network', 'host', '--save', 'FOLDER'];
    const flags = (service: string) =>
      `--platform linux/arm64 --network host -f infra/images/Dockerfile --target ${service}`;
    const services = ['edge', 'expert'];
    const podman = { podman: 'works', buildah: 'works' } as const;
    expect(runBuild(args, { engines: podman }).called).toEqual(
      services.flatMap((service) => [
        `podman build --layers --pull=false ${flags(service)} -t ${image(service)} .`,
        `podman save -o /images/${service}.tar ${image(service)}`,
      ]),
    );
    expect(runBuild(args, { engines: podman, engine: 'buildah' }).called).toEqual(
      services.flatMap((service) => [
        `buildah build --layers --pull=false ${flags(service)} -t ${image(service)} .`,
        `buildah push ${image(service)} docker-archive:/images/${service}.tar:${image(service)}`,
      ]),
    );
  });
});
