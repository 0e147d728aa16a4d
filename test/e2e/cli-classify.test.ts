import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeKeyFile } from '../support/key-file.ts';
import { spawnService, withoutProgress } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED, type TinyBundle, UNSURE_COLD } from '../support/tiny-bundle.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

let bundle: TinyBundle;
let folder: string;
beforeAll(async () => {
  bundle = await makeTinyBundle();
  folder = await mkdtemp(join(tmpdir(), 'ask-cli-'));
  await mkdir(join(folder, 'photos/more'), { recursive: true });
  const red = await flatPng(SURE_RED);
  for (const name of [
    'red.png',
    'photos/b[1].png',
    'photos/more/a.PNG',
    'photos/named-by-its-bytes',
    'photos/.hidden.png',
  ]) {
    await writeFile(join(folder, name), red);
  }
  await writeFile(join(folder, 'cold.png'), await flatPng(UNSURE_COLD));
  await writeFile(join(folder, 'broken.png'), 'hello');
  await writeFile(join(folder, 'photos/README.md'), 'no picture');
  await symlink('.', join(folder, 'photos/again'));
  await symlink('nowhere', join(folder, 'photos/gone.png'));
  await mkdir(join(folder, 'empty'));
});
afterAll(() => Promise.all([bundle.remove(), rm(folder, { recursive: true })]));

const file = (name: string) => join(folder, name);

async function classify(args: string[], env: Record<string, string> = {}) {
  const settings = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', ...env };
  await using service = spawnService('cli', settings, ['classify', ...args]);
  return { status: await service.exited, output: service.output(), errors: withoutProgress(service.log()) };
}

/** The pictures that were answered, in their order. */
async function answered(...names: string[]) {
  const { output } = await classify([...names.map(file), '--json', '--strategy', 'edge']);
  const lines = output.trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { file: string }).file.replace(`${folder}/`, ''));
}

test('classify: prints the answer and its route for each file', async () => {
  const { status, output } = await classify([file('red.png'), file('cold.png')]);
  expect(status).toBe(0);
  expect(output.replaceAll(folder, '').replace(/\d+\.\d ms/g, 'T ms')).toMatch(
    new RegExp(
      [
        '^/red.png: red 100.0 %',
        '  route   edge \\(confident, max-probability 1.000 against 0.9\\)',
        '  others  grey 0.0 %, green 0.0 %, blue 0.0 %',
        '  time    T ms',
        '/cold.png: blue 100.0 %',
        '  route   cold \\(low-confidence, max-probability 0\\.\\d{3} against 0.9; expert T ms, \\d+ bytes sent\\)',
      ].join('\n'),
    ),
  );
});

describe('classify: names', () => {
  test('of folders mean the pictures in them and below, by their names or first bytes', async () => {
    expect(await answered('photos')).toEqual(['photos/b[1].png', 'photos/more/a.PNG', 'photos/named-by-its-bytes']);
  });

  test('with wildcards are patterns, unless a file is named so; each picture is answered once', async () => {
    expect(await answered('*.png', 'red.png')).toEqual(['cold.png', 'red.png']);
    expect(await answered('photos/{b,more}*', 'photos/b[1].png')).toEqual(['photos/b[1].png', 'photos/more/a.PNG']);
    expect(await answered('photos/b[1].png')).toEqual(['photos/b[1].png']);
  });

  test('are meant from the folder in which npm was called', async () => {
    const env = { ...process.env, ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', INIT_CWD: '' };
    const asked = await run('npm', ['--prefix', root, 'run', '-s', 'ask', '--', 'classify', 'red.png'], {
      cwd: folder,
      env,
    });
    expect(asked.stdout).toMatch(/^red\.png: red /);
  });

  test('that lead to nothing are all told, before anything is started', async () => {
    const names = ['red.png', 'none.png', 'red.png/x', 'empty', '*.gif'];
    const { status, output, errors } = await classify(names.map(file), { ASK_MODELS_DIR: '/nowhere' });
    expect([status, output]).toEqual([1, '']);
    expect(errors.replaceAll(`${folder}/`, '')).toBe(
      [
        'ask: none.png: there is no such file',
        '     red.png/x: there is no such file',
        '     empty: holds no picture',
        '     *.gif: matches no picture\n',
      ].join('\n'),
    );
  });
});

test('classify: a picture that fails is named on standard error, others are answered, the status is 1', async () => {
  const { status, output, errors } = await classify([file('broken.png'), file('red.png')]);
  expect([status, output.includes('red.png: red')]).toEqual([1, true]);
  expect(errors).toContain('broken.png: 400 not-an-image: ');
  expect(errors).toMatch(/\n1 of 2 pictures could not be classified\n$/);
});

test('classify: a bundle that cannot be used is told with the setting that names it', async () => {
  const { status, errors } = await classify([file('red.png')], { ASK_MODELS_DIR: '/nowhere' });
  expect(errors).toMatch(/^ask: ASK_MODELS_DIR=\/nowhere: .*manifest\.json cannot be read/);
  expect(status).toBe(1);
});

test('classify: the system that it starts for itself asks for no key', async () => {
  await using keys = await makeKeyFile();
  const env = { HOST: '0.0.0.0', ASK_API_KEYS_FILE: keys.path };
  expect(await classify([file('red.png')], env)).toMatchObject({ status: 0 });
});
