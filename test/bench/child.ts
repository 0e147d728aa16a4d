import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { killAtExit } from '../support/kill-at-exit.ts';
import type { LoadResult, LoadSpec } from './load.ts';
import type { RawResult, RawSpec } from './raw.ts';

/** `seconds`: one that takes longer hangs, and is killed. */
async function child<Spec, Result>(file: string, spec: Spec, seconds: number): Promise<Result> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const options = { maxBuffer: 2 ** 24, timeout: Math.ceil(1000 * seconds), killSignal: 'SIGKILL' } as const;
  const { stdout } = await promisify(execFile)(process.execPath, [path, JSON.stringify(spec)], options);
  return JSON.parse(stdout);
}

const PATIENCE_SECONDS = 60; // beyond what is to be measured

/** Load from a process of its own. */
export const load = (spec: LoadSpec): Promise<LoadResult> =>
  child('./load.ts', spec, spec.warmUpSeconds + spec.seconds + PATIENCE_SECONDS);

/** The floor, from one process of its own. */
export const raw = (spec: RawSpec): Promise<RawResult> =>
  child('./raw.ts', spec, spec.warmUpSeconds + spec.seconds + PATIENCE_SECONDS);

/** The server of `bare.ts`, as a process of its own until it is disposed of. */
export async function spawnBare(bundle: string): Promise<{ url: string } & AsyncDisposable> {
  const path = fileURLToPath(new URL('./bare.ts', import.meta.url));
  const server = spawn(process.execPath, [path, bundle], { stdio: ['ignore', 'pipe', 'inherit'] });
  killAtExit(server);
  const exited = once(server, 'exit');
  const [line] = await Promise.race([once(server.stdout, 'data'), exited]);
  if (server.exitCode !== null) throw new Error(`bare.ts ended with ${server.exitCode}`);
  const end = async () => {
    server.kill();
    await exited;
  };
  return { url: String(line).trim(), [Symbol.asyncDispose]: end };
}

/** What a service says of itself in `/metrics`: the first value of each name, summed over labels. */
export async function metrics(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^([a-z0-9_]+)(?:\{[^}]*\})? ([^ \n]+)/gm)) {
    found.set(name as string, (found.get(name as string) ?? 0) + Number(value));
  }
  return found;
}
