import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { readConfig } from '../../shared/config.ts';
import { loadBundle } from '../../shared/manifest.ts';
import { findNatsServer } from '../support/find-nats-server.ts';
import { edgeLatency, escalation, type Settings, start, throughput } from './figures.ts';
import { grid, type Row } from './grid.ts';
import { comparePeers, type PeerRow } from './peers.ts';

/**
 * `npm run -s bench -- [--json] [--seconds N] [--rounds N] [--grid] [--peers]`: the service beside the raw model in one
 * run, in turns, loaded from another process. With `--grid` also every workload of `grid.ts`, with `--peers` beside the
 * servers of `peers.ts`, whose first run installs them into `.cache/peers`.
 */
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    grid: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
  },
});

const bundle = readConfig().ASK_MODELS_DIR;
const { manifest } = await loadBundle(bundle);
const settings: Settings = { bundle, seconds: Number(options.seconds), rounds: Number(options.rounds) };
if (!(settings.seconds > 0) || !(settings.rounds >= 1)) throw new Error('--seconds and --rounds must be above 0');
process.env.NATS_SERVER_BIN ??= await findNatsServer();

const say = (text: string) => void process.stderr.write(`${text}\n`);
const figures: Record<string, number> = {};
for (const [what, measure] of [
  ['start to first answer', () => start(settings)],
  ['edge, one client', () => edgeLatency(settings)],
  ['edge, saturated', () => throughput(settings)],
  ['escalation over NATS, one client', () => escalation(settings, manifest.experts[0]?.id as string)],
] satisfies [string, () => Promise<Record<string, number>>][]) {
  say(what);
  Object.assign(figures, await measure());
}
const rows: Row[] = options.grid ? await grid(settings, say) : [];
const others = options.peers ? await comparePeers(settings, say) : undefined;
const machine = {
  date: new Date().toISOString(),
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  node: process.version,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  load: loadavg()[0],
};
if (options.json) {
  const peers = others && worstByPeer(others.rows);
  process.stdout.write(
    `${JSON.stringify({ ...figures, peers, ...settings, machine, workloads: rows, peerRows: others })}\n`,
  );
} else {
  for (const [name, value] of Object.entries(figures)) process.stdout.write(`${name.padEnd(26)}${value}\n`);
  if (rows.length > 0) console.table(rows);
  if (others) {
    console.table(others.rows);
    for (const [name, why] of Object.entries(others.absent)) process.stdout.write(`${name} did not run: ${why}\n`);
  }
  process.stdout.write(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.date}\n`);
}

/** The least favourable workload of each peer. */
function worstByPeer(found: PeerRow[]): Record<string, { throughputRatio: number; p99Ratio: number }> {
  const worst: Record<string, { throughputRatio: number; p99Ratio: number }> = {};
  for (const { peer, throughputRatio, p99Ratio } of found) {
    const known = worst[peer] ?? { throughputRatio, p99Ratio };
    worst[peer] = {
      throughputRatio: Math.min(known.throughputRatio, throughputRatio),
      p99Ratio: Math.max(known.p99Ratio, p99Ratio),
    };
  }
  return worst;
}
