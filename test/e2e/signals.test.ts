import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Processes that have this in their environment, a model process being one as well as a service. */
async function processesWith(mark: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const marked = await Promise.all(
    pids.map(async (pid) => {
      const [environ, status] = await Promise.all(
        ['environ', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      return environ?.includes(mark) && !/^State:\tZ/m.test(status ?? '');
    }),
  );
  return pids.filter((_, i) => marked[i]);
}

async function descendantsOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.split(' ').filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map(descendantsOf))).flat()];
}

const isThere = async (pid: number) =>
  /^State:\t[^Z]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));

let marks = 0;
/** An environment that tells its processes from all others. */
function markedEnvironment(directory: string) {
  const mark = `test-${process.pid}-${marks++}`;
  const env = { ASK_MODELS_DIR: directory, NATS_URL: 'nats://127.0.0.1:1', PORT: '0', ASK_WORKERS: '2' };
  return { mark, env: { ...env, OTEL_SERVICE_NAME: mark } };
}

const noneLeft = (mark: string) =>
  waitFor(async () => (await processesWith(mark)).length === 0, `no process of ${mark} to be left`);

/** One that is gone already needs no signal. */
function hangUp(pid: number): void {
  try {
    process.kill(pid, 'SIGHUP');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Sends a request but for its last byte, which the function sends; that resolves with the answer. */
async function beginRequest(url: string): Promise<() => Promise<string>> {
  const image = await flatPng(UNSURE_WARM);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const head = `host: edge\r\ncontent-type: image/png\r\ncontent-length: ${image.length}\r\nconnection: close`;
  socket.write(`POST /classify?deadlineMs=20000 HTTP/1.1\r\n${head}\r\n\r\n`);
  socket.write(image.subarray(0, -1));
  await fetch(`${url}/healthz`); // a connection made later is served: the service knows of this one
  return async () => {
    socket.write(image.subarray(-1));
    return (await socket.toArray()).join('');
  };
}

describe.skipIf(process.platform !== 'linux')('signals', () => {
  test.each(['start', 'run edge', 'run expert'])('npm %s: TERM to npm stops the service, drained', async (command) => {
    await using bundle = await makeTinyBundle();
    const { mark, env } = markedEnvironment(bundle.directory);
    const child = spawn('npm', command.split(' '), {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    });
    const exited = once(child, 'exit');
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
    const service = { log: () => log };
    try {
      await waitForLog(service, command === 'run edge' ? '"msg":"ready"' : 'experts are ready');
      const url = /"url":"([^"]+)","msg":"ready"/.exec(log)?.[1];
      const finish = url && (await beginRequest(url));
      child.kill('SIGTERM');
      await waitForLog(service, '"msg":"stopping"');
      if (finish) expect(await finish()).toMatch(/^HTTP\/1\.1 200 /);
      await exited;
      await waitForLog(service, '"msg":"stopped"');
      await noneLeft(mark);
    } finally {
      for (const pid of await processesWith(mark)) process.kill(Number(pid), 'SIGKILL');
    }
  });

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    '%s at any moment of the start leaves no process behind',
    async (signal) => {
      await using bundle = await makeTinyBundle();
      const { mark, env } = markedEnvironment(bundle.directory);
      for (const delay of [20, 60, 150, 300, 450, 600, 800, 1100]) {
        await using service = spawnService('local', env);
        await sleep(delay);
        service.kill(signal);
        expect(['SIGTERM', 'SIGKILL', 0]).toContain(await service.exited);
        await noneLeft(mark);
      }
    },
  );

  test('a service that is killed with runs under way leaves no model process behind', async () => {
    await using bundle = await makeTinyBundle();
    const { mark, env } = markedEnvironment(bundle.directory);
    await using system = await spawnHttp('local', env);
    const image = await flatPng(UNSURE_WARM);
    const requests = Array.from({ length: 30 }, () => postImage(system.url, image));
    await Promise.race(requests);
    system.kill('SIGKILL');
    await Promise.allSettled(requests);
    await noneLeft(mark);
  });

  test('TERM to npm run bench:telemetry ends the services that it has started', async () => {
    const child = spawn('npm', ['run', '-s', 'bench:telemetry'], { cwd: root, stdio: 'ignore' });
    const exited = once(child, 'exit');
    const started = async () => (await descendantsOf(child.pid as number)).length;
    await waitFor(async () => (await started()) > 4, 'its services'); // itself, two systems and their model processes
    const pids = await descendantsOf(child.pid as number);
    child.kill('SIGTERM');
    await exited;
    const left = async () => (await Promise.all(pids.map(isThere))).filter(Boolean).length;
    await waitFor(async () => (await left()) === 0, 'none of them to be left');
  });

  test('HUP without a terminal, as under nohup, is ignored by all its processes', async () => {
    await using bundle = await makeTinyBundle();
    const { mark, env } = markedEnvironment(bundle.directory);
    await using system = await spawnHttp('local', env);
    await waitForLog(system, 'experts are ready');
    const before = await processesWith(mark);
    expect(before.length).toBe(3);
    for (const pid of before) process.kill(Number(pid), 'SIGHUP');
    const image = await flatPng(UNSURE_WARM);
    for (let i = 0; i < 10; i++) expect((await postImage(system.url, image)).status).toBe(200);
    expect(await processesWith(mark)).toEqual(before);
    expect(system.log()).not.toContain('stopping');
    system.kill('SIGTERM');
    expect(await system.exited).toBe(0);
  });

  test('HUP from a terminal that is gone stops the service, drained', async () => {
    await using bundle = await makeTinyBundle();
    const { mark, env } = markedEnvironment(bundle.directory);
    const command = `exec ${process.execPath} services/local/main.ts`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: root,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(terminal, 'exit');
    let log = '';
    terminal.stdout.on('data', (chunk) => (log += chunk));
    try {
      await waitForLog({ log: () => log }, 'experts are ready');
      // The first that stops takes its children along.
      for (const pid of await processesWith(mark)) if (Number(pid) !== terminal.pid) hangUp(Number(pid));
      expect(await exited).toEqual([0, null]);
      expect(log).toMatch(/stopping[\s\S]*SIGHUP[\s\S]*stopped/);
      await noneLeft(mark);
    } finally {
      terminal.kill('SIGKILL');
    }
  });
});
