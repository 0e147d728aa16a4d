import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { spawnHttp, waitForLog } from '../support/service.ts';
import { load } from './child.ts';
import type { Settings } from './figures.ts';
import { shares } from './grid.ts';
import type { LoadSpec } from './load.ts';
import { PICTURES, type Picture } from './pictures.ts';
import { median, round } from './statistics.ts';

/** Another server with the same cascade and the same ONNX files: `peers/NAME_server.py`, `peers/NAME.txt`. */
interface Peer {
  name: string;
  /** Program in its virtual environment, and arguments. */
  command(port: number): string[];
  request: Pick<LoadSpec, 'path' | 'form'>;
}

const cores = availableParallelism();
const root = fileURLToPath(new URL('../../', import.meta.url)); // results are committed: no path of a machine in them
const folder = resolve(root, 'test/bench/peers');
const environments = resolve(root, '.cache/peers');

const peers: Peer[] = [
  {
    name: 'fastapi',
    command: (port) =>
      ['uvicorn', 'fastapi_server:app', '--workers', cores, '--port', port, '--no-access-log'].map(String),
    request: {},
  },
  { name: 'litserve', command: () => ['python', 'litserve_server.py'], request: { form: 'json' } },
  { name: 'ray', command: () => ['python', 'ray_server.py'], request: {} },
  {
    name: 'bentoml',
    command: (port) => ['bentoml', 'serve', 'bentoml_server:Classifier', '--port', String(port)],
    request: { form: 'json' },
  },
  {
    name: 'pytriton',
    command: () => ['python', 'pytriton_server.py'],
    request: { path: '/v2/models/cascade/infer', form: 'v2' },
  },
];

const workloads: [picture: keyof typeof PICTURES, escalated: number][] = [
  ['png-32', 0],
  ['png-32', 0.4],
  ['jpeg-1080p', 0.4],
];

export interface PeerRow {
  peer: string;
  picture: string;
  escalated: number;
  /** Answers a second, saturated by 16 clients: ours, theirs. */
  ours: number;
  theirs: number;
  throughputRatio: number;
  /** Milliseconds, open loop at 70 % of what saturates the peer. */
  ourP99: number;
  theirP99: number;
  p99Ratio: number;
  /** Share of the answers that an expert gave, in the closed loop: ours, theirs. */
  byExpert: [number, number];
  /** Answers other than 200, of ours and of theirs. */
  failed: [number, number];
}

/** The service and each peer in turns, same pictures, same load; a peer that cannot be installed or started is named. */
export async function comparePeers(settings: Settings, say: (text: string) => void, only?: string) {
  const rows: PeerRow[] = [];
  const absent: Record<string, string> = {};
  await using ours = await spawnHttp('local', {
    ASK_MODELS_DIR: settings.bundle,
    ASK_CACHE_BYTES: '0',
    LOG_LEVEL: 'info',
    ASK_EDGE_QUEUE: '512',
    ASK_EXPERT_QUEUE: '512',
  });
  await waitForLog(ours, 'experts are ready');
  for (const peer of peers.filter(({ name }) => only === undefined || name === only)) {
    try {
      await install(peer.name, say);
      for (const [name, share] of workloads) {
        const picture: Picture = PICTURES[name];
        const threshold = (await shares(ours.url, picture))(share);
        say(`${peer.name}, ${name}, ${100 * share} % escalated`);
        await using theirs = await start(peer, picture, {
          BUNDLE: resolve(settings.bundle),
          THRESHOLD: String(threshold),
        });
        rows.push(await compare(settings, peer, [name, share, threshold], ours.url, theirs.url));
      }
    } catch (error) {
      absent[peer.name] = stripVTControlCharacters((error as Error).message)
        .replaceAll(root, '')
        .slice(0, 500);
      say(`${peer.name}: ${absent[peer.name]}`);
    }
  }
  return { rows, absent };
}

async function compare(
  { seconds, rounds }: Settings,
  peer: Peer,
  [name, share, threshold]: [keyof typeof PICTURES, number, number],
  ourUrl: string,
  theirUrl: string,
): Promise<PeerRow> {
  const spec = { clients: 16, seconds, warmUpSeconds: 1, picture: PICTURES[name], repeat: 0 };
  const us = { ...spec, url: ourUrl, path: `/classify?threshold=${threshold}&deadlineMs=10000` };
  const them = { ...spec, url: theirUrl, ...peer.request };
  const found = { ours: [] as number[], theirs: [] as number[], ourP99: [] as number[], theirP99: [] as number[] };
  const failed: [number, number] = [0, 0];
  const byExpert: [number[], number[]] = [[], []];
  const measure = async (who: 0 | 1, one: LoadSpec) => {
    const result = await load(one);
    failed[who] += Object.entries(result.statuses).reduce((sum, [status, n]) => sum + (status === '200' ? 0 : n), 0);
    return result;
  };
  const closed = async (who: 0 | 1, one: LoadSpec) => {
    const { perSecond, escalated, answers } = await measure(who, one);
    byExpert[who].push(escalated / answers);
    return perSecond;
  };
  for (let i = 0; i < rounds; i++) {
    const theirs = await closed(1, them);
    found.theirs.push(theirs);
    found.ours.push(await closed(0, us));
    const open = { rate: 0.7 * theirs, clients: 256 };
    found.theirP99.push((await measure(1, { ...them, ...open })).latency.p99);
    found.ourP99.push((await measure(0, { ...us, ...open })).latency.p99);
  }
  const [ours, theirs] = [median(found.ours), median(found.theirs)];
  const [ourP99, theirP99] = [median(found.ourP99), median(found.theirP99)];
  return {
    peer: peer.name,
    picture: name,
    escalated: share,
    ours: round(ours, 1),
    theirs: round(theirs, 1),
    throughputRatio: round(ours / theirs, 2),
    ourP99: round(ourP99, 1),
    theirP99: round(theirP99, 1),
    p99Ratio: round(ourP99 / theirP99, 2),
    byExpert: [round(median(byExpert[0]), 2), round(median(byExpert[1]), 2)],
    failed,
  };
}

/** Makes the peer's virtual environment in `.cache/peers`, anew when its requirements have changed; with PYTHON, if set. */
async function install(name: string, say: (text: string) => void): Promise<void> {
  const requirements = resolve(folder, `${name}.txt`);
  const wanted = await readFile(requirements, 'utf8');
  const stamp = resolve(environments, name, 'requirements.txt');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === wanted) return;
  say(`${name}: installing`);
  const run = promisify(execFile);
  await mkdir(environments, { recursive: true });
  await run(process.env.PYTHON ?? 'python3', ['-m', 'venv', '--clear', resolve(environments, name)]);
  await run(resolve(environments, name, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements]);
  await writeFile(stamp, wanted);
}

/** Starts it and waits for its first answer. Rejects with the end of its output if it ends or takes a minute. */
async function start(peer: Peer, picture: Picture, env: Record<string, string>) {
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
