import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { spawnService } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED, type TinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';

let bundle: TinyBundle;
let folder: string;
beforeAll(async () => {
  bundle = await makeTinyBundle({
    change: ({ provenance }) => {
      provenance.licences = { data: 'ours' };
    },
  });
  folder = await mkdtemp(join(tmpdir(), 'ask-cli-'));
  await writeFile(join(folder, 'red.png'), await flatPng(SURE_RED));
  await writeFile(join(folder, 'broken.png'), 'hello');
  // Sure and right; unsure, wrong, and put right by the expert `cold`; unsure, right, and led astray by `warm`.
  await writeFile(
    join(folder, 'records.bin'),
    Buffer.concat([record(0, SURE_RED), record(2, [118, 127, 120]), record(0, UNSURE_WARM)]),
  );
});
afterAll(() => Promise.all([bundle.remove(), rm(folder, { recursive: true })]));

async function run(args: string[], env: Record<string, string> = {}) {
  await using service = spawnService('cli', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', ...env }, args);
  return { status: await service.exited, output: service.output(), errors: service.log() };
}

const file = (name: string) => join(folder, name);

describe('key', () => {
  const form = /^ask_[\w-]{43}\n$/;
  const digest = (key: string) => createHash('sha256').update(key.trim()).digest('hex');

  test('prints a fresh key, and apart from it the line for the file', async () => {
    const [first, second] = await Promise.all([run(['key', 'camera']), run(['key', 'camera', '--limit', '2.5'])]);
    expect([first.status, second.status]).toEqual([0, 0]);
    expect([first.output, second.output]).toEqual([expect.stringMatching(form), expect.stringMatching(form)]);
    expect(first.output).not.toBe(second.output);
    const heading = "the key's line for ASK_API_KEYS_FILE:";
    expect(first.errors).toBe(`${heading}\ncamera ${digest(first.output)}\n`);
    expect(second.errors).toBe(`${heading}\ncamera ${digest(second.output)} 2.5\n`);
  });

  test('--to makes the file for its owner alone, and adds to it', async () => {
    const path = file('keys');
    const first = await run(['key', 'camera', '--to', path]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await writeFile(path, (await readFile(path, 'utf8')).trimEnd());
    const second = await run(['key', 'sensor', '--limit', '5', '--to', path]);
    expect(await readFile(path, 'utf8')).toBe(`camera ${digest(first.output)}\nsensor ${digest(second.output)} 5\n`);
    expect(second.errors).toBe(`its line was added to ${path}\n`);
  });

  test('--to adds nothing to what is no key file', async () => {
    const { status, output, errors } = await run(['key', 'camera', '--to', file('broken.png')]);
    expect([status, output]).toEqual([1, '']);
    expect(errors).toMatch(/^ask: .*broken.png, line 1: after the name must come the key's sha256/);
    expect(await readFile(file('broken.png'), 'utf8')).toBe('hello');
    expect((await run(['key', 'camera', '--to', folder])).errors).toMatch(/^ask: EISDIR/);
  });
});

describe('eval', () => {
  test('--json prints the figures of one strategy', async () => {
    const { status, output } = await run(['eval', '--data', file('records.bin'), '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(output)).toEqual({
      n: 3,
      strategy: 'ask',
      accuracy: 0.6667,
      escalated: 0.6667,
      edgeAccuracy: 0.6667,
      escalatedEdgeAccuracy: 0.5,
      escalatedAccuracy: 0.5,
      bytesPerEscalation: expect.any(Number),
      threshold: 0.9,
    });
  });

  test('without --strategy it compares all, and the oracle takes the better of both', async () => {
    const { output } = await run(['eval', '--data', file('records.bin')]);
    const rows = output.split('\n').map((line) => line.split(/ {2,}/).slice(0, 3));
    expect(rows.slice(1, 6)).toEqual([
      ['strategy', 'accuracy', 'escalated'],
      ['ask', '66.67 %', '66.67 %'],
      ['edge', '66.67 %', '0.00 %'],
      ['expert', '33.33 %', '100.00 %'],
      ['oracle', '100.00 %', '100.00 %'],
    ]);
  });

  test('--limit takes the first records', async () => {
    const { output } = await run([
      'eval',
      '--data',
      file('records.bin'),
      '--limit',
      '1',
      '--strategy',
      'edge',
      '--json',
    ]);
    expect(JSON.parse(output)).toMatchObject({ n: 1, accuracy: 1, escalated: 0, escalatedAccuracy: null });
  });
});

describe('help', () => {
  test.each([
    [['--help'], /^Usage: npm run -s ask -- [\s\S]*classify[\s\S]*\n {2}ASK_MODELS_DIR /],
    [['classify', '--help'], /^Usage: npm run -s ask -- classify [\s\S]*--threshold <share>/],
    [['help', 'calibrate'], /^Usage: npm run -s ask -- calibrate [\s\S]*--max-escalation <number> /],
    [
      ['--version'],
      new RegExp(`^${packageJson.version.replaceAll('.', '\\.')}\ncode: Apache-2\\.0\nbundle tiny, data: ours\n$`),
    ],
  ])('%j', async (args, expected) => {
    expect(await run(args)).toEqual({ status: 0, output: expect.stringMatching(expected), errors: '' });
  });
});

describe('usage errors: status 2, saying why', () => {
  test.each<[string, string[], string]>([
    ['no verb', [], 'npm run -s ask'],
    ['an unknown verb', ['clasify'], "unknown command 'clasify'\n(Did you mean classify?)"],
    ['no file', ['classify'], "missing required argument 'picture'"],
    ['an unknown option', ['classify', 'x.png', '--jsn'], "unknown option '--jsn'\n(Did you mean --json?)"],
    ['an option without its value', ['eval', '--data'], "option '--data <path>' argument missing"],
    ['too many arguments', ['eval', '--data', 'x', 'y'], "too many arguments for 'eval'"],
    ['no data', ['eval'], "required option '--data <path>' not specified"],
    ['an unknown strategy', ['eval', '--data', 'x', '--strategy', 'guess'], "argument 'guess' is invalid"],
    ['an impossible threshold', ['classify', 'x.png', '--threshold', '7'], '--threshold 7 is not between 0 and 1'],
    ['a key of nobody', ['key'], "missing required argument 'name'"],
    ['a key of two', ['key', 'a', 'b'], "too many arguments for 'key'"],
    ['a name of several words', ['key', 'a b'], "the name 'a b' must be letters"],
    ['a key that may not be used', ['key', 'a', '--limit', '0'], '--limit 0 is not a positive number'],
    ['an impossible limit', ['eval', '--data', 'x', '--limit', '-1'], '--limit -1'],
  ])('%s', async (_, args, message) => {
    const { status, output, errors } = await run(args);
    expect([status, output]).toEqual([2, '']);
    expect(errors).toContain(message);
    expect(errors).not.toMatch(/^\s+at /m);
  });

  test('records that are cut short, or are not there', async () => {
    const short = await run(['eval', '--data', file('red.png')]);
    expect([short.status, short.errors]).toEqual([
      2,
      expect.stringContaining('not a whole number of 3074-byte records'),
    ]);
    const none = await run(['eval', '--data', file('none.bin')]);
    expect(none).toEqual({
      status: 1,
      output: '',
      errors: `ask: --data ${file('none.bin')} cannot be read: there is no such file\n`,
    });
  });
});

/** A CIFAR-100 record of one colour. */
function record(label: number, colour: [number, number, number]): Buffer {
  return Buffer.concat([Buffer.from([0, label]), ...colour.map((value) => Buffer.alloc(1024, value))]);
}
