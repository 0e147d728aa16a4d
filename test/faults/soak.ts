import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArguments, refuse } from '../../shared/service/arguments.ts';
import setup from '../support/global-setup.ts';
import { exitOnSignals } from '../support/kill-at-exit.ts';
import type { Fault } from './fault.ts';
import { resourcesOf } from './resources.ts';
import { saturation } from './saturation.ts';
import { faults } from './table.ts';
import { type Outcome, startTraffic } from './traffic.ts';
import { startWorld } from './world.ts';

const help = `npm run -s test:soak -- [--minutes 60] [--per-second 0] [--seed 1] [--to FILE]
One system under traffic for an hour (0 a second: half of what it can take), one fault after the other at random.`;

const DEADLINE_MS = 1000;
const SLACK_MS = 300;
const RECOVERY_MS = 2000;
const { values } = readArguments({
  name: 'test:soak',
  help: () => help,
  options: {
    minutes: { type: 'string', default: '60' },
    'per-second': { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    to: { type: 'string' },
  },
});
if (!(Number(values.minutes) > 0)) refuse('test:soak', '--minutes must be above 0');

/** About 4 ms a picture on a core of today. */
const work = { rows: Array(4).fill([0, 0, 0, 1]) as [number, number, number, number][], work: 8 };
const chosen = faults.filter(({ world, deadlineMs }) => world === undefined && deadlineMs === undefined);

/** A linear congruential generator (Numerical Recipes): the same seed, the same faults in the same order. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (1664525 * state + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Period {
  fault: Fault;
  from: number;
  healed: number;
}

exitOnSignals();
await setup();
await using world = await startWorld({
  bundle: { models: { warm: work, cold: work } },
  // A run of these small models takes as long for four pictures as for one: half of what that saturates would not be
  // half.
  edge: { OTEL_SDK_DISABLED: 'true', ASK_BATCH_MAX: '1' },
});
const perSecond = Number(values['per-second']) || (await saturation([world.url])) / 2;
const random = createRandom(Number(values.seed));
const traffic = await startTraffic({ url: () => world.url, perSecond, deadlineMs: DEADLINE_MS });
const tally = { requests: 0, lost: 0, twice: 0, late: 0, refused: 0, untrue: 0, slowToRecover: 0 };
/** What went wrong during or after which fault, and how often. */
const causes: Record<string, number> = {};
const ids = new Set<string>();
const rss: number[] = [];
const periods: Period[] = [];
const minutes = Number(values.minutes);
await sleep(3000);
const end = performance.now() + minutes * 60_000;

while (performance.now() < end) {
  const fault = chosen[Math.floor(random() * chosen.length)] as Fault;
  const period = { fault, from: performance.now(), healed: Number.POSITIVE_INFINITY };
  periods.push(period);
  await fault.inject(world);
  await sleep(500 + 2500 * random());
  await fault.heal?.(world);
  period.healed = performance.now();
  await sleep(RECOVERY_MS + 1000 + 3000 * random());
  tallyUp(traffic.outcomes.splice(0));
  rss.push(resourcesOf(world.edge.pid).rssMb);
  if (periods.length % 10 === 0) progress();
}
await traffic.stop();
tallyUp(traffic.outcomes.splice(0));
tally.lost += traffic.sent - tally.requests;

// Warm-up: the first tenth. Growth between the tenth after it and the last.
const tenth = Math.max(1, Math.floor(rss.length / 10));
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
const rssMb = Array.from({ length: 10 }, (_, i) => median(rss.slice(i * tenth, i < 9 ? (i + 1) * tenth : undefined)));
const growth = (rssMb[9] as number) / (rssMb[1] as number) - 1;
const result = {
  date: new Date().toISOString(),
  minutes,
  perSecond: Math.round(perSecond),
  faults: periods.length,
  ...tally,
  causes,
  rssMb: rssMb.map(Math.round),
  rssGrowth: Number(growth.toFixed(4)),
};
if (values.to) await writeFile(values.to, `${JSON.stringify(result, null, 1)}\n`);
process.stdout.write(`${JSON.stringify(result)}\n`);
const { requests: _, ...violations } = tally;
process.exitCode = Object.values(violations).some((count) => count > 0) ? 1 : 0;

/** An hour is long to wait for what the first minutes already showed. */
function progress(): void {
  const left = Math.max(0, Math.ceil((end - performance.now()) / 60_000));
  process.stderr.write(`${periods.length} faults, ${left} minutes left: ${JSON.stringify({ ...tally, causes })}\n`);
}

function tallyUp(outcomes: Outcome[]): void {
  for (const { at, ms, status, degraded, id } of outcomes) {
    const period = periods.findLast(({ from }) => from < at + ms);
    const violated = (what: Exclude<keyof typeof tally, 'requests'>, detail: unknown) => {
      tally[what] += 1;
      const cause = `${period?.fault.name}: ${what}, ${detail}`;
      causes[cause] = (causes[cause] ?? 0) + 1;
    };
    tally.requests += 1;
    if (status === null) violated('lost', 'the connection broke');
    else if (status !== 200) violated('refused', status);
    if (id !== '' && ids.has(id)) violated('twice', degraded);
    ids.add(id);
    if (ms > DEADLINE_MS + SLACK_MS) violated('late', degraded);
    if (degraded === null) continue;
    const sayable = ['overloaded', ...(period?.fault.truth ?? []), ...(period?.fault.also ?? [])] as string[];
    if (!sayable.includes(degraded)) violated('untrue', degraded);
    if (period && at > period.healed + RECOVERY_MS) violated('slowToRecover', degraded);
  }
}
