import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spawnHttp } from '../support/service.ts';
import { makeTinyBundle, type TinyBundle } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

let bundle: TinyBundle;
beforeAll(async () => {
  bundle = await makeTinyBundle();
});
afterAll(() => bundle.remove());

/** What a command shows on a terminal of its own, by util-linux's `script`; ESC stands for what begins a colour. */
function openTerminal(command: string, env: Record<string, string> = {}) {
  const child = spawn('script', ['-qefc', `exec ${process.execPath} ${command} 2>&1`, '/dev/null'], {
    env: { PATH: process.env.PATH, TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let shown = '';
  child.stdout.on('data', (chunk) => {
    shown += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const press = (key: string) => void child.stdin.write(key);
  return { shown: () => shown.replaceAll('\x1b', 'ESC'), press, exited };
}

async function startAndInterrupt(env: Record<string, string>) {
  const settings = { PORT: '0', ASK_WORKERS: '1', ASK_MODELS_DIR: bundle.directory, ...env };
  const terminal = openTerminal('services/local/main.ts', settings);
  await waitFor(() => terminal.shown().includes('experts are ready'), 'the terminal to show that it is ready');
  terminal.press('\x03'); // SIGINT
  expect(await terminal.exited).toBe(0);
  return terminal.shown();
}

/** What a terminal shows of lines. */
async function print(lines: string): Promise<string> {
  const program = `import { createLog } from './shared/observe/log.ts'; const log = createLog('info', 'it'); ${lines};`;
  const terminal = openTerminal(`--input-type=module -e "${program}"`, { NO_COLOR: '1' });
  expect(await terminal.exited).toBe(0);
  return terminal.shown();
}

describe.skipIf(!existsSync('/usr/bin/script'))('log: on a terminal', () => {
  test('lines are for people, in colours, the last before the end as well', async () => {
    const shown = await startAndInterrupt({});
    expect(shown).toMatch(/\[\d\d:\d\d:\d\d\.\d{3}\] ESC\[32mINFOESC\[39m \(ask-the-expert\): ESC\[36mready/);
    expect(shown).toContain('stopped');
    expect(shown).not.toContain('"level":');
  });

  test('NO_COLOR leaves the colours out', async () => {
    const shown = await startAndInterrupt({ NO_COLOR: '1' });
    expect(shown).toMatch(/\] INFO \(ask-the-expert\): ready \{.*"url":"http:/);
    expect(shown).not.toContain('ESC');
  });

  test('what callers send does not steer it', async () => {
    const shown = await print(
      "log.info({ path: 'C:\\\\u001b\\u001b[2J\\u009b2J' }, 'a\\u001b[31m\\rb\\u202ec\\u2028d')",
    );
    expect(shown).toContain('INFO (it): a\\u{1b}[31m\\rb\\u{202e}c\\u{2028}d {"path":"C:');
    expect(shown).not.toMatch(/ESC|[\u009b\u202e\u2028]/);
  });

  test('what callers send cannot pass for a line of its own', async () => {
    const forged = 'x\\n[12:00:00.000] INFO (it): forged';
    const cause = `new Error('${forged}')`;
    const shown = await print(
      `log.error({ err: new Error('${forged}', { cause: ${cause} }), reason: '${forged}' }, '${forged}')`,
    );
    expect(shown).toMatch(/^ +at file:/m); // a stack has its lines
    expect(shown).toMatch(/^ +caused by: Error: x\\n\[12/m);
    expect(shown.match(/^ *\[.*/gm)).toEqual([expect.stringMatching(/ ERROR \(it\): x\\n\[12:00:00\.000\] INFO/)]);
  });
});

test('log: elsewhere lines are JSON', async () => {
  await using system = await spawnHttp('local', {
    ASK_WORKERS: '1',
    ASK_MODELS_DIR: bundle.directory,
    FORCE_COLOR: '1',
  });
  for (const line of system.log().trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ level: 30 });
});
