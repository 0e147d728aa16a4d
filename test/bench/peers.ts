import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { spawnHttp, waitForLog } from '../support/service.ts';
import { load } from './child.ts';
import type { Settings } from './figures.ts';
import { gateConfidences, SAMPLE, thresholdFor } from './grid.ts';
import type { LoadSpec } from './load.ts';
import { confidences, install, type Peer, root, start } from './peers.environment.ts';
import { PICTURES, type Picture } from './pictures.ts';
import { median, round } from './statistics.ts';

const cores = availableParallelism();
const TAIL = 1000; // answers behind a p99, ten of them slower: of a hundred it would be the slowest
const MOST_SECONDS = 30;

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

/**
 * The service and each peer in turns, same pictures, same load; a peer that cannot be installed or started is named.
 */
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
        // Decoders shrink differently, and the confidences with them: one threshold would not be the same work for
        // both.
        const threshold = thresholdFor(share, await gateConfidences(ours.url, picture, SAMPLE));
        const theirThreshold = thresholdFor(share, await confidences(peer, settings.bundle, picture, SAMPLE));
        say(`${peer.name}, ${name}, ${100 * share} % escalated`);
        await using theirs = await start(peer, picture, {
          BUNDLE: resolve(settings.bundle),
          THRESHOLD: String(theirThreshold),
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
    const rate = 0.7 * theirs;
    const open = { rate, clients: 256, seconds: Math.max(seconds, Math.min(MOST_SECONDS, TAIL / rate)) };
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
