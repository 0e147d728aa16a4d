import { execFile } from 'node:child_process';
import { cp, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { inRepository, readText } from '../support/infra/repository.ts';

const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, { hasInstallScript?: true }> };
const { allowScripts } = JSON.parse(readText('package.json')) as { allowScripts: Record<string, boolean> };
const files = ['package.json', 'package-lock.json', '.npmrc'];

test("npm ci: onnxruntime-node's script, which fetches CUDA libraries from elsewhere, runs under no npm", () => {
  // npm 10 runs the scripts that the lock file announces, npm 11 those that `allowScripts` does not deny.
  const announced = Object.entries(lock.packages).flatMap(([path, { hasInstallScript }]) =>
    hasInstallScript ? [path.replace(/.*node_modules\//, '')] : [],
  );
  const advice = "delete onnxruntime-node's hasInstallScript from package-lock.json: npm wrote it again";
  expect(announced.toSorted(), advice).toEqual(['node', 'protobufjs']);
  expect(allowScripts).toEqual({ node: true, 'onnxruntime-node': false, protobufjs: false });
});

test('npm ci: no warning under the Node that comes along', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'ask-npm-'));
  for (const file of files) await cp(inRepository(file), join(folder.path, file));
  const env = { PATH: process.env.PATH, HOME: folder.path, npm_config_audit: 'false' };
  const { stderr } = await promisify(execFile)('npm', ['ci', '--dry-run'], { cwd: folder.path, env });
  expect(stderr).toBe('');
});
