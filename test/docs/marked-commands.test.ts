import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { needs, pages, readCommands } from '../support/pages.ts';

/** Commands that a test cannot run are told apart by a mark on their block; here their scripts, files and flags. */
const marked = pages.flatMap(readCommands).filter((command) => command.needs !== undefined);
const scripts: Record<string, string> = packageJson.scripts;
const folders = /^(services|shared|models|training|infra|test)\//;

/** What `--help` of a npm script says; a verb's for the command line. */
async function helpOf(script: string, args: string[]): Promise<string> {
  const verb = script === 'ask' ? args.slice(0, 1) : [];
  const { stdout } = await promisify(execFile)('npm', ['run', '-s', script, '--', ...verb, '--help']);
  return stdout;
}

/** Where the options of Python's training stand. */
const python = (module: string) => {
  const path = `training/${module.replaceAll('.', '/')}`;
  return readFileSync(existsSync(`${path}.py`) ? `${path}.py` : `${path}/__main__.py`, 'utf8');
};

async function optionsOf(words: string[]): Promise<string | undefined> {
  const [program = '', ...rest] = words;
  if (program === 'npm' && rest[0] === 'run') {
    const [script = '', ...args] = rest.slice(1).filter((word) => word !== '-s' && word !== '--');
    expect(Object.keys(scripts)).toContain(script);
    return script === 'train' ? python('ask_training') : helpOf(script, args);
  }
  const module = /\bpython$/.test(program) ? rest[rest.indexOf('-m') + 1] : undefined;
  return module === undefined ? undefined : python(module);
}

test('commands: every mark is a known one', () => {
  expect(marked.filter((command) => !(needs as readonly string[]).includes(command.needs as string))).toEqual([]);
  expect(marked.length).toBeGreaterThan(5);
});

test.each(marked)('commands: $page: scripts, files and flags are there: $text', async ({ text }) => {
  await promisify(execFile)('bash', ['-n', '-c', text]); // it is a command at all
  const inTraining = text.startsWith('cd training && ');
  const words = text
    .replace('cd training && ', '')
    .split(/\s+/)
    .filter((word) => !/^[A-Z_]+=/.test(word));
  const options = await optionsOf(words);
  const flags = words.filter((word) => word.startsWith('--') && word !== '--').map((word) => word.split('=')[0]);
  if (options !== undefined) expect(flags.filter((flag) => !options.includes(flag as string))).toEqual([]);
  const files = words
    .map((word) => (inTraining && /^(configs|tests)\//.test(word) ? `training/${word}` : word))
    .filter((word) => folders.test(word) && !/[*{]/.test(word));
  const follows = (word: string) => ['--to', '--save'].includes(words[words.indexOf(word) - 1] ?? '');
  expect(files.filter((word) => !follows(word) && !existsSync(word))).toEqual([]);
});
