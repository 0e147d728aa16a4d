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

/** The system on a terminal of its own, by util-linux's `script`; what it shows there. */
async function showOnTerminal(env: Record<string, string>) {
  const command = `exec ${process.execPath} services/local/main.ts 2>&1`;
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    env: {
      PATH: process.env.PATH,
      TERM: 'xterm-256color',
      PORT: '0',
      ASK_WORKERS: '1',
      ASK_MODELS_DIR: bundle.directory,
      ...env,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let shown = '';
  child.stdout.on('data', (chunk) => {
    shown += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  await waitFor(() => shown.includes('experts are ready'), 'the terminal to show that it is ready');
  child.stdin.write('\x03'); // as the keyboard does: SIGINT
  expect(await exited).toBe(0);
  return shown;
}

describe.skipIf(!existsSync('/usr/bin/script'))('log: on a terminal', () => {
  test('lines are for people, in colours, the last before the end as well', async () => {
    const shown = await showOnTerminal({});
    expect(shown).toMatch(/\[\d\d:\d\d:\d\d\.\d{3}\] \x1b\[32mINFO\x1b\[39m \(ask-the-expert\): \x1b\[36mready/);
    expect(shown).toContain('stopped');
    expect(shown).not.toContain('"level":');
  });

  test('NO_COLOR leaves the colours out', async () => {
    const shown = await showOnTerminal({ NO_COLOR: '1' });
    expect(shown).toMatch(/\] INFO \(ask-the-expert\): ready \{"url":"http:/);
    expect(shown).not.toContain('\x1b');
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
