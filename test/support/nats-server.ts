import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { killAtExit } from './kill-at-exit.ts';
import { waitFor } from './wait.ts';

export interface NatsServer {
  url: string;
  port: number;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A real nats-server on a free port (or `port`), ready for connections. */
export async function startNats(
  options: {
    config?: string;
    env?: Record<string, string>;
    port?: number;
    user?: string;
    password?: string;
    args?: string[];
  } = {},
): Promise<NatsServer> {
  const port = options.port ?? (await freePort());
  const config = options.config ? ['-c', options.config] : [];
  const login = options.user ? ['--user', options.user, '--pass', options.password ?? ''] : [];
  const child = spawn(
    process.env.NATS_SERVER_BIN ?? 'nats-server',
    [...config, ...login, ...(options.args ?? []), '-a', '127.0.0.1', '-p', String(port)],
    {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  killAtExit(child);
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  await waitFor(() => {
    if (child.exitCode !== null) throw new Error(`nats-server ended with ${child.exitCode}:\n${log}`);
    return log.includes('Server is ready');
  }, 'nats-server to be ready');
  const kill = (signal: NodeJS.Signals) => void child.kill(signal);
  return { url: `nats://127.0.0.1:${port}`, port, kill, stop, [Symbol.asyncDispose]: stop };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
