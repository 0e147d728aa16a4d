import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a program to its end, with nothing of this process's environment but `PATH`. Rejects with what it printed. */
export async function runTool(
  path: string,
  args: string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: options.cwd, DO_NOT_TRACK: '1', ...options.env };
  try {
    const { stdout } = await run(path, args, { cwd: options.cwd, env, maxBuffer: 100 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${path} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}
