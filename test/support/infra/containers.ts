import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Engine } from './images.ts';

const run = promisify(execFile);

export interface ContainerOptions {
  image: string;
  env: Record<string, string>;
  /** Paths on this machine by their path in the container. */
  mounts: Record<string, { source: string; writable?: boolean }>;
  cpus: number;
  memory: number;
  user: number;
}

export interface Container {
  /** What it has written to both outputs so far. */
  log(): string;
  /** Runs a shell script in it, and resolves with its output. */
  execute(script: string): Promise<string>;
  /** Rejects while it does not run. */
  signal(name: 'TERM' | 'KILL'): Promise<void>;
  /** Exit status; 128 and the signal's number for one that a signal ended. */
  exited: Promise<number | null>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Runs an image as the manifests would: its root read-only, without capabilities and new privileges, with limits. Its
 * network is that of this machine.
 */
export async function startContainer(engine: Engine, options: ContainerOptions): Promise<Container> {
  return engine === 'buildah' ? startByRunc(options) : startByEngine(engine, options);
}

function follow(child: ChildProcess, commands: { tool: string; id: string }, clean: () => Promise<void>): Container {
  let log = '';
  for (const output of [child.stdout, child.stderr]) {
    output?.on('data', (chunk) => {
      log += chunk;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const { tool, id } = commands;
  return {
    log: () => log,
    execute: async (script) => (await run(tool, ['exec', id, 'sh', '-c', script])).stdout,
    signal: async (name) => {
      // What is signalled between its creation and its start was never the image's process.
      if (tool === 'runc') requireRunning((await run(tool, ['state', id])).stdout);
      await run(tool, tool === 'runc' ? ['kill', id, name] : ['kill', '--signal', name, id]);
    },
    exited,
    async [Symbol.asyncDispose]() {
      await run(tool, tool === 'runc' ? ['delete', '--force', id] : ['rm', '--force', id]).catch(() => {});
      await exited;
      await clean();
    },
  };
}

function requireRunning(state: string): void {
  const { status } = JSON.parse(state) as { status: string };
  if (status !== 'running') throw new Error(`the container is ${status}, not running`);
}

function startByEngine(engine: 'docker' | 'podman', options: ContainerOptions): Container {
  const id = `ask-test-${randomUUID()}`;
  const mounts = Object.entries(options.mounts).flatMap(([target, { source, writable }]) => [
    '--volume',
    `${source}:${target}${writable ? '' : ':ro'}`,
  ]);
  const limits = ['--cpus', String(options.cpus), '--memory', String(options.memory), '--user', String(options.user)];
  const powers = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--network', 'host'];
  const env = Object.entries(options.env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const child = spawn(engine, ['run', '--name', id, ...powers, ...limits, ...mounts, ...env, options.image]);
  return follow(child, { tool: engine, id }, async () => {});
}

/** For buildah, which builds but does not run with limits: the runtime below all engines, on the mounted image. */
async function startByRunc(options: ContainerOptions): Promise<Container> {
  const id = `ask-test-${randomUUID()}`;
  const bundle = await mkdtemp(join(tmpdir(), 'ask-bundle-'));
  const working = (await run('buildah', ['from', '--pull-never', options.image])).stdout.trim();
  const clean = async () => {
    await run('buildah', ['rm', working]);
    await rm(bundle, { recursive: true });
  };
  const root = (await run('buildah', ['mount', working])).stdout.trim();
  const image = JSON.parse((await run('buildah', ['inspect', working])).stdout).OCIv1.config;
  await run('runc', ['spec', '--bundle', bundle]);
  const path = join(bundle, 'config.json');
  const spec = JSON.parse(await readFile(path, 'utf8'));
  const config = {
    ...spec,
    root: { path: root, readonly: true },
    process: {
      ...spec.process,
      terminal: false,
      user: { uid: options.user, gid: options.user },
      args: [...(image.Entrypoint ?? []), ...(image.Cmd ?? [])],
      env: [...image.Env, ...Object.entries(options.env).map(([name, value]) => `${name}=${value}`)],
      cwd: image.WorkingDir,
      capabilities: {},
    },
    mounts: [
      ...spec.mounts,
      ...Object.entries(options.mounts).map(([destination, { source, writable }]) => ({
        destination,
        source,
        options: ['bind', writable ? 'rw' : 'ro'],
      })),
    ],
    linux: {
      ...spec.linux,
      namespaces: spec.linux.namespaces.filter(({ type }: { type: string }) => type !== 'network'),
      cgroupsPath: `/${id}`,
      resources: {
        ...spec.linux.resources,
        memory: { limit: options.memory },
        cpu: { quota: options.cpus * 100_000, period: 100_000 },
      },
    },
  };
  await writeFile(path, JSON.stringify(config));
  return follow(spawn('runc', ['run', '--bundle', bundle, id]), { tool: 'runc', id }, clean);
}
