import { loadavg } from 'node:os';
import { readArguments, refuse } from '../../shared/service/arguments.ts';
import { findNatsServer } from '../support/find-nats-server.ts';
import { startNats } from '../support/nats-server.ts';
import { checkOut, type Spawned, spawnFrom } from '../support/revision.ts';
import { postImage, waitForLog } from '../support/service.ts';
import { load } from './child.ts';
import { distinct, PICTURES } from './pictures.ts';
import { bootstrapMedian, median, round } from './statistics.ts';

const help = `npm run -s bench:pairs -- --base COMMIT [--head COMMIT] [--pairs 20] [--seconds 2] [--json]
What a change costs. Two commits (--head: by default the last one) run side by side, each with its own dependencies, and
are measured in turns. Prints the median of the paired differences with its 95 % bootstrap interval; worse is only what
is worse with the whole interval.`;
const { values: options } = readArguments({
  name: 'bench:pairs',
  help: () => help,
  options: {
    base: { type: 'string' },
    head: { type: 'string', default: 'HEAD' },
    pairs: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const [pairs, seconds] = [Number(options.pairs), Number(options.seconds)];
const { base, head } = options;
if (base === undefined) refuse('bench:pairs', '--base COMMIT is missing: what to compare with');
if (!Number.isInteger(pairs) || pairs < 2 || !(seconds > 0))
  refuse('bench:pairs', '--pairs takes 2 or more, --seconds more than 0');

/** Every so many pairs all processes start anew: two starts of one program can differ for good. */
const PAIRS_PER_START = 5;
const picture = PICTURES['png-32'];
const settings = { ASK_CACHE_BYTES: '0', PORT: '0' };

interface Side {
  local: string;
  edge: string;
  folder: string;
}

const measures = {
  throughput: { unit: 'answers a second', better: 1 },
  edgeP50: { unit: 'ms', better: -1 },
  escalationP50: { unit: 'ms', better: -1 },
  start: { unit: 'ms', better: -1 },
} as const;
type Measure = keyof typeof measures;

async function measure(what: Measure, side: Side): Promise<number> {
  if (what === 'start') return start(side.folder);
  const spec = { seconds, warmUpSeconds: seconds / 4, picture, repeat: 0 };
  const alone = { ...spec, clients: 1 };
  if (what === 'escalationP50') {
    const { latency, escalated, answers } = await load({ ...alone, url: side.edge, path: '/classify?strategy=expert' });
    if (escalated !== answers) throw new Error(`only ${escalated} of ${answers} answers came from an expert`);
    return latency.p50;
  }
  const clients = what === 'throughput' ? 16 : 1;
  const { perSecond, latency } = await load({ ...spec, clients, url: side.local, path: '/classify?strategy=edge' });
  return what === 'throughput' ? perSecond : latency.p50;
}

/** Milliseconds from the start of `npm start`'s process to its first answer. */
async function start(folder: string): Promise<number> {
  const begun = performance.now();
  await using service = spawnFrom(folder, 'local', settings);
  const { status } = await postImage(await address(service), first as Buffer, '?strategy=edge');
  if (status !== 200) throw new Error(`the first answer was ${status}`);
  return performance.now() - begun;
}

async function address(service: Spawned): Promise<string> {
  await waitForLog(service, '"msg":"ready"');
  return /"url":"([^"]+)","msg":"ready"/.exec(service.log())?.[1] as string;
}

/** The whole system in one process, and beside it edge and experts over a broker. */
async function open(folder: string, processes: AsyncDisposableStack): Promise<Side> {
  const nats = processes.use(await startNats());
  const local = processes.use(spawnFrom(folder, 'local', settings));
  const distributed = { ...settings, NATS_URL: nats.url, ASK_WORKERS: '1' };
  const near = processes.use(spawnFrom(folder, 'expert', distributed));
  const edge = processes.use(spawnFrom(folder, 'edge', distributed));
  for (const service of [local, near]) await waitForLog(service, 'experts are ready');
  const side = { folder, local: await address(local), edge: await address(edge) };
  for (const what of ['throughput', 'escalationP50'] as const) await measure(what, side); // until V8 has compiled it
  return side;
}

process.env.NATS_SERVER_BIN ??= await findNatsServer();
const [first] = await distinct(picture);
const folders = await Promise.all([base, head].map(checkOut));
if (folders.some((folder) => folder === undefined)) throw new Error('this clone does not hold both commits');
const found = Object.fromEntries(Object.keys(measures).map((name) => [name, []])) as unknown as Record<
  Measure,
  [before: number, after: number][]
>;
for (let done = 0; done < pairs; done += PAIRS_PER_START) {
  await using processes = new AsyncDisposableStack();
  const before = await open(folders[0] as string, processes);
  const after = await open(folders[1] as string, processes);
  for (let pair = done; pair < Math.min(pairs, done + PAIRS_PER_START); pair++) {
    for (const what of Object.keys(measures) as Measure[]) {
      const values = new Map<Side, number>();
      // Whoever goes first changes with the pair.
      for (const side of pair % 2 === 0 ? [before, after] : [after, before]) {
        values.set(side, await measure(what, side));
      }
      found[what].push([values.get(before) as number, values.get(after) as number]);
    }
    process.stderr.write(`pair ${pair + 1} of ${pairs}\n`);
  }
}

const figures = Object.entries(measures).map(([name, { unit, better }]) => {
  const values = found[name as Measure];
  const differences = values.map(([before, after]) => after - before);
  const [low, high] = bootstrapMedian(differences);
  const verdict =
    better * low < 0 && better * high < 0 ? 'worse' : better * low > 0 && better * high > 0 ? 'better' : 'the same';
  const [before, after] = [0, 1].map((i) => round(median(values.map((pair) => pair[i] as number))));
  return {
    name,
    unit,
    before,
    after,
    difference: round(median(differences)),
    low: round(low),
    high: round(high),
    verdict,
  };
});
if (options.json) process.stdout.write(`${JSON.stringify({ base, head, pairs, seconds, figures })}\n`);
else {
  for (const { name, unit, before, after, difference, low, high, verdict } of figures) {
    process.stdout.write(
      `${name}: ${before} -> ${after} ${unit}, difference ${difference} [${low}, ${high}]: ${verdict}\n`,
    );
  }
  process.stdout.write(`${pairs} pairs of ${seconds} s, load ${loadavg()[0]?.toFixed(2)}\n`);
}
