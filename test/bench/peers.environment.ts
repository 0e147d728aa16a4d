import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { load } from './child.ts';
import type { LoadSpec } from './load.ts';
import { distinct, type Picture } from './pictures.ts';

/** Another server with the same cascade and the same ONNX files: `peers/NAME_server.py`, `peers/NAME.txt`. */
export interface Peer {
  name: string;
  /** Program in its virtual environment, and arguments. */
  command(port: number): string[];
  request: Pick<LoadSpec, 'path' | 'form'>;
}

const cores = availableParallelism();
/** Results are committed: no path of a machine may be in them. */
export const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = resolve(root, 'test/bench/peers');
const environments = resolve(root, '.cache/peers');
const run = promisify(execFile);

/**
 * Makes the peer's virtual environment in `.cache/peers`, anew when its requirements have changed; with PYTHON, if set.
 */
export async function install(name: string, say: (text: string) => void): Promise<void> {
  const requirements = resolve(folder, `${name}.txt`);
  const wanted = await readFile(requirements, 'utf8');
  const stamp = resolve(environments, name, 'requirements.txt');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === wanted) return;
  say(`${name}: installing`);
  await mkdir(environments, { recursive: true });
  await run(process.env.PYTHON ?? 'python3', ['-m', 'venv', '--clear', resolve(environments, name)]);
  await run(resolve(environments, name, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements]);
  await writeFile(stamp, wanted);
}

/**
 * The generalist's confidence in each of so many of the pictures, as the peer decodes them. Its environment is there.
 */
export async function confidences({ name }: Peer, bundle: string, picture: Picture, count: number): Promise<number[]> {
  const files = await mkdtemp(resolve(tmpdir(), 'ask-peers-'));
  try {
    const images = (await distinct(picture)).slice(0, count);
    const names = await Promise.all(
      images.map(async (image, i) => {
        const file = resolve(files, String(i));
        await writeFile(file, image);
        return file;
      }),
    );
    const { stdout } = await run(resolve(environments, name, 'bin/python'), ['cascade.py', ...names], {
      cwd: folder,
      env: { BUNDLE: resolve(bundle), THRESHOLD: '0' },
    });
    return JSON.parse(stdout);
  } finally {
    await rm(files, { recursive: true });
  }
}

/** Starts it and waits for its first answer. Rejects with the end of its output if it ends or takes a minute. */
export async function start(peer: Peer, picture: Picture, env: Record<string, string>) {
  const port = await freePort();
  const [program, ...args] = peer.command(port) as [string, ...string[]];
  const bin = resolve(environments, peer.name, 'bin');
  await stat(resolve(bin, program));
  const child = spawn(resolve(bin, program), args, {
    cwd: folder,
    detached: true, // its workers go with it
    env: {
      HOME: process.env.HOME,
      PATH: `${bin}:${process.env.PATH}`,
      CORES: String(cores),
      PORT: String(port),
      BENTOML_DO_NOT_TRACK: 'True',
      RAY_USAGE_STATS_ENABLED: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-2000);
    });
  }
  const exited = new Promise<void>((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
  const end = async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      try {
        process.kill(-(child.pid as number), signal);
      } catch {} // all gone
      await Promise.race([exited, new Promise((done) => setTimeout(done, 10_000))]);
    }
  };
  const url = `http://127.0.0.1:${port}`;
  const probe = { url, clients: 1, seconds: 3, warmUpSeconds: 0, picture, repeat: 0, ...peer.request };
  for (let tries = 0; tries < 20 && child.exitCode === null && child.signalCode === null; tries++) {
    if ((await load(probe)).answers > 0) return { url, [Symbol.asyncDispose]: end };
    await new Promise((done) => setTimeout(done, 500));
  }
  await end();
  throw new Error(`did not start: ${output}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
