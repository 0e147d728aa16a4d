import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import packageJson from '../../package.json' with { type: 'json' };
import { killAtExit } from './kill-at-exit.ts';
import { waitFor } from './wait.ts';

const { edge, expert, start, ask } = packageJson.scripts;
const scripts = { edge, expert, local: start, cli: ask };
const root = fileURLToPath(new URL('../..', import.meta.url));

export interface ServiceProcess {
  /** Standard error so far: the log. */
  log(): string;
  kill(signal: NodeJS.Signals): void;
  /** Exit status, or the signal that ended it. */
  exited: Promise<number | string>;
  pid: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A service as its own process, under the Node that runs the tests, as `npm run` would start it. */
export function spawnService(
  name: 'edge' | 'expert' | 'local' | 'cli',
  env: Record<string, string>,
  args: string[] = [],
  { stdout, stderr, cwd = root }: { stdout?: number; stderr?: number; cwd?: string } = {},
) {
  const [file, ...command] = scripts[name].replace(/^exec node /, '').split(' ') as [string, ...string[]];
  const child = spawn(process.execPath, [resolve(root, file), ...command, ...args], {
    cwd,
    env: { PATH: process.env.PATH, LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', stdout ?? 'pipe', stderr ?? 'pipe'],
  });
  killAtExit(child);
  let log = '';
  let output = '';
  child.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  const exited = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  return {
    log: () => log,
    output: () => output,
    kill: (signal: NodeJS.Signals) => void child.kill(signal),
    exited,
    pid: child.pid as number,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** What the command line says but for how far it is, which depends on the machine. */
export function withoutProgress(errors: string): string {
  return errors.replace(/^\d+ of \d+ (pictures|answers|escalations)\n/gm, '');
}

export async function waitForLog(service: { log(): string }, text: string): Promise<void> {
  await waitFor(() => service.log().includes(text), `'${text}' in the log`).catch((error: Error) => {
    throw new Error(`${error.message}; the log is:\n${service.log()}`);
  });
}

/** Starts an edge (or the whole system) on a free port; resolves with its address once it is ready. */
export async function spawnHttp(name: 'edge' | 'local', env: Record<string, string>) {
  const service = spawnService(name, { PORT: '0', ...env });
  await waitForLog(service, '"msg":"ready"');
  const url = /"url":"([^"]+)","msg":"ready"/.exec(service.log())?.[1] as string;
  return { ...service, url };
}

export async function postImage(
  url: string,
  image: Uint8Array,
  query = '',
  type = 'image/png',
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${url}/classify${query}`, {
    method: 'POST',
    headers: { 'content-type': type, ...headers },
    body: Buffer.from(image),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers and problems alike
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}
