import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBundle } from '../../shared/bundle/load.ts';
import { readArguments, refuse } from '../../shared/service/arguments.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { findNatsServer } from '../support/find-nats-server.ts';
import { exitOnSignals } from '../support/kill-at-exit.ts';
import { writeSizedBundle } from '../support/sized-bundle.ts';
import { edgeLatency, escalation, type Settings, start, throughput } from './figures.ts';
import { grid } from './grid.ts';
import { memory, overload } from './overload.ts';
import { comparePeers } from './peers.ts';
import { profile } from './profile.ts';
import { markdown, type Results, withEarlier, worstByPeer } from './report.ts';
import { drawScaling, scaling } from './scaling.ts';
import { round } from './statistics.ts';

const help = `npm run -s bench -- [--json] [--save] [--seconds 5] [--rounds 5] [PART...]
The service beside the raw model in one run, in turns, loaded from another process; --save writes test/bench/results/,
where parts that were not asked for stay as they are. Parts:
  --grid       every workload
  --peers      other servers, which the first run installs into .cache/peers; --peer NAME: one of them
  --overload   twice saturation for a minute
  --memory     200,000 requests
  --scaling    experts and classes
  --profile    where the time goes
  --all        all of these`;
const flag = { type: 'boolean', default: false } as const;
const parts = { grid: flag, peers: flag, overload: flag, memory: flag, scaling: flag, profile: flag };
const { values: options } = readArguments({
  name: 'bench',
  help: () => help,
  options: {
    ...parts,
    all: flag,
    json: flag,
    save: flag,
    peer: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
  },
});
exitOnSignals();
const wants = (part: keyof typeof parts) => options.all || options[part];

const bundle = readConfig().ASK_MODELS_DIR;
const bundled = await loadBundle(bundle);
const settings: Settings = { bundle, seconds: Number(options.seconds), rounds: Number(options.rounds) };
if (!(settings.seconds > 0) || !(settings.rounds >= 1)) refuse('bench', '--seconds and --rounds must be above 0');
process.env.NATS_SERVER_BIN ??= await findNatsServer();

const say = (text: string) => void process.stderr.write(`${text}\n`);
const results: Results = {
  figures: {},
  machine: {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
    load: loadavg()[0] ?? 0,
    seconds: settings.seconds,
    rounds: settings.rounds,
    command: `npm run -s bench -- ${process.argv.slice(2).join(' ')}`.trim(),
  },
};
const measure = async (what: string, part: Promise<Record<string, number>>) => {
  say(what);
  Object.assign(results.figures, await part);
};

await measure('start to first answer', start(settings));
await measure('edge, one client', edgeLatency(settings));
await measure('edge, saturated', throughput(settings));
await measure('escalation over NATS, one client', escalation(settings, bundled.there));
if (wants('overload')) await measure('twice saturation', overload({ ...settings, overloadSeconds: 60 }));
if (wants('memory')) {
  const folder = await mkdtemp(join(tmpdir(), 'ask-memory-'));
  await writeSizedBundle(folder, 100, 5);
  await measure('200,000 requests', memory(200_000, folder)).finally(() => rm(folder, { recursive: true }));
}
if (wants('scaling')) {
  say('experts and classes');
  results.scaling = await scaling(settings.rounds, settings.seconds / 2);
  const at = (classes: number, experts: number) =>
    results.scaling?.find((row) => row.classes === classes && row.experts === experts)?.p50 as number;
  results.figures.scalingExperts = round(at(100, 100) / at(100, 5));
  results.figures.scalingClasses = round(at(1000, 10) / at(10, 10));
}
if (wants('profile')) results.profile = await profile(bundle, settings.seconds);
if (wants('peers') || options.peer) results.peers = await comparePeers(settings, say, options.peer);
if (wants('grid')) results.workloads = await grid(settings, say);

if (options.save) {
  const folder = fileURLToPath(new URL('./results', import.meta.url));
  const file = join(folder, 'results.json');
  const all = withEarlier(results, JSON.parse(await readFile(file, 'utf8')));
  await writeFile(file, `${JSON.stringify(all, null, 1)}\n`);
  await writeFile(join(folder, 'README.md'), markdown(all));
  if (results.scaling) await drawScaling(results.scaling, join(folder, 'scaling.svg'));
}
if (options.json) {
  const peers = results.peers && worstByPeer(results.peers.rows);
  process.stdout.write(`${JSON.stringify({ ...results.figures, ...results, peers, peerRows: results.peers })}\n`);
} else {
  process.stdout.write(markdown(results));
}
