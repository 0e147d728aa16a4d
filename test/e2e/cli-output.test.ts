import { execFileSync, spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KEY, keyLine } from '../support/key-file.ts';
import { spawnService, withoutProgress } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED, type TinyBundle } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const COUNT = 400;
const PIPE_STATUS = 141;
let bundle: TinyBundle;
let folder: string;
let many: string;
beforeAll(async () => {
  bundle = await makeTinyBundle();
  folder = await mkdtemp(join(tmpdir(), 'ask-cli-'));
  many = join(folder, 'many');
  await mkdir(many);
  const picture = await flatPng(SURE_RED);
  for (let i = 0; i < COUNT; i++) await writeFile(join(many, `${i}.png`), picture);
});
afterAll(() => Promise.all([bundle.remove(), rm(folder, { recursive: true })]));

const env = () => ({ ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });

describe('command output: a reader that had enough ends it quietly', () => {
  test.each([['classify'], ['classify', '--json']])('%j', async (...args) => {
    const command = ['services/cli/main.ts', ...args, many];
    const child = spawn(process.execPath, command, { env: { PATH: process.env.PATH, ...env() }, stdio: 'pipe' });
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const status = await new Promise((resolve) => child.once('close', resolve));
    expect(status).toBe(PIPE_STATUS);
    expect(withoutProgress(errors)).toBe('');
  });
});

describe.skipIf(!existsSync('/dev/full'))('command output: a full disk is one line of error', () => {
  const message = 'ask: standard output cannot be written: ENOSPC: no space left on device, write\n';
  const full = async (...args: string[]) => {
    await using service = spawnService('cli', env(), args, { stdout: openSync('/dev/full', 'w') });
    return { status: await service.exited, errors: withoutProgress(service.log()) };
  };

  test.each([[['--help']], [['classify', '--help']], [['key', 'camera']]])('%j', async (args) => {
    expect(await full(...args)).toEqual({ status: 1, errors: message });
  });

  test('classify stops with the first answer', async () => {
    expect(await full('classify', many, '--json')).toEqual({ status: 1, errors: message });
  });

  test('a key that nobody could read is not let in', async () => {
    const path = join(folder, 'keys');
    await writeFile(path, keyLine(KEY, 'camera'));
    expect(await full('key', 'sensor', '--to', path)).toEqual({ status: 1, errors: message });
    expect(await readFile(path, 'utf8')).toBe(keyLine(KEY, 'camera'));
  });
});

test('command output: work longer than a second shows its progress on standard error', async () => {
  const data = join(folder, 'data/red');
  await cp(many, data, { recursive: true });
  await using service = spawnService('cli', env(), ['eval', '--data', join(folder, 'data'), '--json']);
  await waitFor(() => childrenOf(service.pid).length > 0, 'the model process');
  // On any machine: the program is stopped whenever it has run a little, until its first second is over.
  let running = true;
  const ended = service.exited.then(() => {
    running = false;
  });
  while (running && service.log() === '') {
    service.kill('SIGSTOP');
    await sleep(1200);
    service.kill('SIGCONT');
    await Promise.race([ended, sleep(50)]);
  }
  expect(await service.exited).toBe(0);
  expect(service.log()).toMatch(/^\d+ of 400 answers\n/);
  expect(JSON.parse(service.output())).toMatchObject({ n: COUNT, accuracy: 1 });
});

test('command output: an interrupt ends it at once, and its model processes', async () => {
  await using service = spawnService('cli', env(), ['classify', many]);
  await waitFor(() => service.output().includes('red'), 'the first answer');
  const children = childrenOf(service.pid);
  expect(children.length).toBeGreaterThan(0);
  service.kill('SIGINT');
  expect(await service.exited).toBe('SIGINT');
  await waitFor(() => children.every((pid) => !isRunning(pid)), 'the model processes to end');
  expect(withoutProgress(service.log())).toBe('');
});

function childrenOf(parent: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'ppid=,pid='], { encoding: 'utf8' }).trim().split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([ppid, pid]) => (ppid === parent ? [pid as number] : []));
}

function isRunning(pid: number): boolean {
  try {
    return !/^[ZX]/.test(execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }));
  } catch {
    return false;
  }
}
