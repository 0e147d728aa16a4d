import { execFile, spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = join(root, '.cache/revisions');
const quiet = { ORT_DISABLE_TELEMETRY: '1', ONNXRUNTIME_NODE_INSTALL: 'skip' };

/**
 * The files of a commit of this repository, with its own dependencies, in a folder that is made once. Undefined if this
 * clone does not hold the commit: it is shallow then.
 */
export async function checkOut(revision: string): Promise<string | undefined> {
  const known = await run('git', ['rev-parse', '--verify', '--quiet', `${revision}^{commit}`], { cwd: root }).catch(
    () => undefined,
  );
  if (known === undefined) return undefined;
  const commit = known.stdout.trim();
  const folder = join(cache, commit);
  if (await exists(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const partial = await mkdtemp(join(cache, 'partial-'));
  const archive = join(partial, 'files.tar');
  await run('git', ['archive', '--output', archive, commit], { cwd: root });
  await run('tar', ['-xf', 'files.tar'], { cwd: partial });
  await run('rm', ['files.tar'], { cwd: partial });
  await run('npm', ['ci'], { cwd: partial, env: { ...process.env, ...quiet } });
  await rename(partial, folder);
  return folder;
}

export interface Spawned {
  /** Standard error so far: the log. */
  log(): string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A service of the files in `folder`, as its own process under this Node. */
export function spawnFrom(folder: string, name: 'edge' | 'expert' | 'local', env: Record<string, string>): Spawned {
  const child = spawn(process.execPath, [`services/${name}/main.ts`], {
    cwd: folder,
    env: { PATH: process.env.PATH, LOG_LEVEL: 'info', ...quiet, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    log: () => log,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
