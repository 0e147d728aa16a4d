import { setTimeout as sleep } from 'node:timers/promises';
import { round, summarise } from '../bench/statistics.ts';
import type { Fault } from './fault.ts';
import { type Resources, resourcesOf } from './resources.ts';
import { type Outcome, startTraffic } from './traffic.ts';
import { startWorld, type World } from './world.ts';

export interface Row {
  fault: string;
  requests: number;
  lost: number;
  twice: number;
  late: number;
  degraded: Record<string, number>;
  /** From healing to the last degraded answer. */
  recoveryMs: number;
  /** While the edge knew that nobody is there: p99 of what was degraded over p99 of what is its own. */
  extraP99Ms: number | null;
  violations: string[];
}

const PER_SECOND = 60;
const BEFORE_MS = 1500;
const AFTER_MS = 3000;
const CALM_MS = 1000; // so long without a degraded answer, and it has recovered
const KNOWN_MS = 800; // by then the edge knows that an expert is gone
const SLACK_MS = 300; // between a timer and the client that looks at its clock, on two busy cores
const RECOVERY_MS = 2000;
const POOLED = 6; // threads that libuv and V8 start when they are first needed, and keep
const RSS_MB = 300;

/**
 * Lets one thing go wrong under traffic and checks what must hold whatever goes wrong. `patience` multiplies what is
 * allowed for the clock of a client and for recovery, where other tests keep the machine busy.
 */
export async function runFault(fault: Fault, patience = 1): Promise<Row> {
  await using world = await startWorld(await fault.world?.());
  const deadlineMs = fault.deadlineMs ?? 1000;
  const traffic = await startTraffic({ url: () => world.url, perSecond: PER_SECOND, deadlineMs });
  await sleep(BEFORE_MS);
  const before = { ...resourcesOf(world.edge.pid), subscriptions: await world.subscriptions() };
  const injected = performance.now();
  await fault.inject(world);
  await sleep(fault.lastsMs ?? 2500);
  const healing = performance.now();
  await fault.heal?.(world);
  const healed = performance.now();
  const { outcomes } = traffic;
  const calm = () =>
    outcomes.every(({ at, ms, degraded }) => degraded === null || at + ms < performance.now() - CALM_MS);
  do await sleep(AFTER_MS);
  while (!calm() && performance.now() < healed + AFTER_MS * patience);
  await traffic.stop();

  const answered = outcomes.filter(({ status }) => status === 200);
  const degraded = outcomes.filter((outcome) => outcome.degraded !== null);
  const lasting = degraded.filter(({ at, ms }) => at + ms > injected && at < healed + patience * RECOVERY_MS);
  const row: Row = {
    fault: fault.name,
    requests: traffic.sent,
    lost: traffic.sent - outcomes.length + outcomes.filter(({ status }) => status === null).length,
    twice: answered.length - new Set(answered.map(({ id }) => id)).size,
    late: outcomes.filter(({ ms }) => ms > deadlineMs + patience * SLACK_MS).length,
    degraded: countBy(degraded, ({ degraded: reason }) => String(reason)),
    recoveryMs: Math.round(Math.max(0, ...degraded.map(({ at }) => at - healed))),
    extraP99Ms: fault.gone ? extraP99(outcomes, injected + KNOWN_MS, healing) : null,
    violations: [],
  };
  const { violations } = row;
  const complain = (wrong: unknown, what: string) => wrong && violations.push(what);
  complain(row.lost, `${row.lost} lost`);
  complain(row.twice, `${row.twice} answered twice`);
  complain(row.late, `${row.late} late, the slowest after ${Math.round(Math.max(...outcomes.map(({ ms }) => ms)))} ms`);
  const refused = countBy(
    outcomes.filter(({ status }) => status !== null && ![200, ...(fault.refused ?? [])].includes(status)),
    ({ status }) => String(status),
  );
  complain(Object.keys(refused).length > 0, `answers other than 200: ${JSON.stringify(refused)}`);
  const early = degraded.filter(({ at, ms }) => at + ms < injected);
  complain(early.length, `${early.length} degraded before anything was wrong`);
  complain(row.recoveryMs > patience * RECOVERY_MS, `degraded ${row.recoveryMs} ms after healing`);
  for (const reason of fault.truth) complain(!row.degraded[reason], `no answer says ${reason}`);
  // Two cores that also run the tests may be overloaded indeed.
  const sayable = ['overloaded', ...fault.truth, ...(fault.also ?? [])] as string[];
  const untrue = lasting.filter(({ degraded: reason }) => !sayable.includes(String(reason)));
  complain(untrue.length, `untrue: ${JSON.stringify(countBy(untrue, (o) => String(o.degraded)))}`);
  violations.push(...(await compareMetrics(world, outcomes)));
  if (!fault.untraced) violations.push(...(await compareTraces(world, answered)));
  violations.push(...(await findLeaks(world, before)));
  world.edge.kill('SIGTERM');
  const status = await Promise.race([world.edge.exited, sleep(15_000, 'nothing', { ref: false })]);
  complain(status !== 0, `SIGTERM, and the edge ended with ${status}`);
  complain(/"level":60|unhandled/i.test(world.edge.log()), 'the edge logged a fatal error');
  return row;
}

function countBy(outcomes: Outcome[], key: (outcome: Outcome) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[key(outcome)] = (counts[key(outcome)] ?? 0) + 1;
  return counts;
}

function extraP99(outcomes: Outcome[], from: number, to: number): number {
  const during = outcomes.filter(({ at }) => at > from && at < to);
  const p99 = (some: Outcome[]) => summarise(some.map(({ ms }) => ms)).p99;
  const [absent, own] = [
    during.filter(({ degraded }) => degraded !== null),
    during.filter(({ kind }) => kind === 'sure'),
  ];
  return round(p99(absent) - p99(own), 1);
}

/** The edge's counters and the clients' agree on every answer. */
async function compareMetrics(world: World, outcomes: Outcome[]): Promise<string[]> {
  const counted: Record<string, number> = {};
  for (const [, reason, count] of (await world.metrics()).matchAll(/ask_answers_total{.*degraded="([^"]+)"} (\d+)/g)) {
    if (count !== '0') counted[reason as string] = (counted[reason as string] ?? 0) + Number(count);
  }
  const seen = countBy(
    outcomes.filter(({ status }) => status === 200),
    ({ degraded }) => degraded ?? 'no',
  );
  const sorted = (counts: object) => JSON.stringify(Object.entries(counts).sort());
  return sorted(seen) === sorted(counted) ? [] : [`clients saw ${sorted(seen)}, the metrics say ${sorted(counted)}`];
}

/** Every answer has its trace, and that says what the answer said. */
async function compareTraces(world: World, answered: Outcome[]): Promise<string[]> {
  let wrong: Outcome[] = [];
  for (let tries = 0; tries < 20; tries++) {
    const routes = world.spans.filter(({ name }) => name === 'route');
    const said = new Map(routes.map(({ traceId, attributes }) => [traceId, attributes['routing.degraded'] ?? null]));
    wrong = answered.filter(({ traceId, degraded }) => said.get(traceId) !== degraded);
    if (wrong.length === 0) return [];
    await sleep(200);
  }
  return [`${wrong.length} answers without a trace that agrees, the first ${JSON.stringify(wrong[0])}`];
}

async function findLeaks(world: World, before: Resources & { subscriptions: number }): Promise<string[]> {
  const leaks: string[] = [];
  for (let tries = 0; tries < 10; tries++) {
    const after = { ...resourcesOf(world.edge.pid), subscriptions: await world.subscriptions() };
    leaks.length = 0;
    // The clients' connections and a probe's are gone; what remains beyond a file or two is a leak.
    if (after.files > before.files + 2) leaks.push(`files: ${before.files} before, ${after.files} after`);
    if (after.threads > before.threads + POOLED)
      leaks.push(`threads: ${before.threads} before, ${after.threads} after`);
    if (after.rssMb > Math.max(RSS_MB, before.rssMb + 50))
      leaks.push(`memory: ${before.rssMb} MB before, ${after.rssMb} MB after`);
    if (after.subscriptions > before.subscriptions) {
      leaks.push(`subscriptions: ${before.subscriptions} before, ${after.subscriptions} after`);
    }
    if (leaks.length === 0) return leaks;
    await sleep(300);
  }
  return leaks;
}
