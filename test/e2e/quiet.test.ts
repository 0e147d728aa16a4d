import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { PICTURES } from '../bench/pictures.ts';
import type { RawSpec } from '../bench/raw.ts';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp } from '../support/service.ts';
import { readDeeds, WATCHED } from '../support/strace.ts';
import { flatPng, makeTinyBundle, type TinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';
import { waitFor } from '../support/wait.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const strace = findTool('strace');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ask-quiet-'));
  await Promise.all(['home', 'tmp'].map((name) => mkdir(join(folder, name))));
});
afterEach(() => rm(folder, { recursive: true }));

/** A home and a temporary folder of its own, and no CI, under which onnxruntime keeps quiet by itself. */
const environment = (directory: string) => ({
  HOME: join(folder, 'home'),
  TMPDIR: join(folder, 'tmp'),
  ASK_MODELS_DIR: directory,
  ASK_WORKERS: '1',
  PORT: '0',
});
/** What is written that is no compiled module. */
const isOdd = (path: string) => !path.startsWith(resolve(root, '.cache')) && path !== '/dev/null';
const leftBehind = async () => (await readdir(folder, { recursive: true })).toSorted();

describe('outside world', () => {
  test('one module imports onnxruntime, and what quiets it before', async () => {
    const folders = ['shared', 'services', 'test', 'infra'].map((name) => join(root, name));
    const files = (await Promise.all(folders.map((name) => readdir(name, { recursive: true, withFileTypes: true }))))
      .flat()
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map(({ parentPath, name }) => join(parentPath, name));
    const importing = await Promise.all(
      files.map(async (file) => /^(?:import|export) .*'onnxruntime-node'/m.test(await readFile(file, 'utf8'))),
    );
    expect(files.filter((_, i) => importing[i])).toEqual([join(root, 'shared/inference/onnxruntime.ts')]);
    const source = await readFile(join(root, 'shared/inference/onnxruntime.ts'), 'utf8');
    expect(source.match(/^(?:import|export) .*$/gm)?.[0]).toBe("import './onnxruntime-quiet.ts';");
  });

  test('a whole system leaves nothing in the home and temporary folders, while it runs and after', async () => {
    await using bundle = await makeTinyBundle();
    await using system = await spawnHttp('local', environment(bundle.directory));
    expect((await postImage(system.url, await flatPng(UNSURE_WARM))).status).toBe(200);
    expect(await leftBehind()).toEqual(['home', 'tmp']);
    system.kill('SIGTERM');
    expect(await system.exited).toBe(0);
    expect(await leftBehind()).toEqual(['home', 'tmp']);
  });

  test.skipIf(!strace).each(['start', 'edge', 'expert'] as const)(
    'npm run %s: from start to stop only the broker is called, and nothing written but compiled modules',
    async (script) => {
      await using bundle = await makeTinyBundle();
      await using nats = await startNats();
      const trace = join(folder, 'trace');
      const command = packageJson.scripts[script].replace(/^exec node /, '');
      const env = { PATH: process.env.PATH, NATS_URL: nats.url, ...environment(bundle.directory) };
      const child = spawn(strace as string, ['-f', '-o', trace, '-e', WATCHED, process.execPath, command], {
        cwd: root,
        env,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const exited = once(child, 'exit');
      let log = '';
      child.stderr.on('data', (chunk) => (log += chunk));
      try {
        await waitFor(() => log.includes(script === 'edge' ? '"msg":"ready"' : 'experts are ready'), 'a ready service');
        const url = /"url":"([^"]+)"/.exec(log)?.[1];
        if (url) expect((await postImage(url, await flatPng(UNSURE_WARM))).status).toBe(200);
        process.kill(Number(/"pid":(\d+)/.exec(log)?.[1]), 'SIGTERM');
        expect(await exited).toEqual([0, null]);
      } finally {
        child.kill('SIGKILL');
      }
      const { addresses, written } = await readDeeds(trace);
      expect(addresses).toEqual(script === 'start' ? [] : [`127.0.0.1:${nats.port}`]);
      expect(written.filter(isOdd)).toEqual([]);
    },
    60_000,
  );

  const raw = { steps: [['generalist'], ['warm']], threads: 1, picture: PICTURES['png-32'], seconds: 0.1 };
  test.skipIf(!strace).each<[string, (bundle: TinyBundle) => Promise<string[]>]>([
    [
      'ask classify calls its own system alone',
      async () => {
        const picture = join(folder, 'picture.png');
        await writeFile(picture, await flatPng(UNSURE_WARM));
        return ['services/cli/main.ts', 'classify', picture];
      },
    ],
    [
      "the bench's floor calls nobody",
      async ({ directory }) => [
        'test/bench/raw.ts',
        JSON.stringify({ ...raw, bundle: directory, warmUpSeconds: 0 } satisfies RawSpec),
      ],
    ],
  ])(
    '%s, and writes nothing',
    async (_, command) => {
      await using bundle = await makeTinyBundle();
      const trace = join(folder, 'trace');
      const args = ['-f', '-o', trace, '-e', WATCHED, process.execPath, ...(await command(bundle))];
      const env = { PATH: process.env.PATH, ...environment(bundle.directory) };
      await promisify(execFile)(strace as string, args, { cwd: root, env });
      const { addresses, written } = await readDeeds(trace);
      expect(addresses.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
      expect(new Set(addresses).size).toBe(args.includes('classify') ? 1 : 0);
      expect(written.filter(isOdd)).toEqual([]);
    },
    60_000,
  );
});
