import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { utimes } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { makeTinyBundle } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('npm run dev: starts anew when a file changes, one of the model processes as well, and ends on TERM', async () => {
  await using bundle = await makeTinyBundle();
  const env = { ...process.env, ASK_MODELS_DIR: bundle.directory, PORT: '0', ASK_WORKERS: '1' };
  const child = spawn('npm', ['run', 'dev'], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
  const starts = () => log.split('"msg":"experts are ready"').length - 1;
  for (const [i, file] of ['services/local/system.ts', 'shared/inference/worker.ts'].entries()) {
    await waitFor(() => starts() === i + 1, `start ${i + 1}`).catch((error: Error) => {
      throw new Error(`${error.message}; it printed:\n${log}`);
    });
    const now = new Date();
    await utimes(`${root}/${file}`, now, now);
  }
  await waitFor(() => starts() === 3, 'start 3');
  child.kill('SIGTERM');
  await once(child, 'exit');
  expect(log).not.toContain('"level":60');
});
