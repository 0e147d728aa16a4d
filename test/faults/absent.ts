import { setTimeout as sleep } from 'node:timers/promises';
import { type Distribution, round, summarise } from '../bench/statistics.ts';
import { startTraffic } from './traffic.ts';
import { startWorld } from './world.ts';

export interface Absence {
  /** Milliseconds: answers that were the edge's own anyway, and those that an absent expert should have given. */
  own: Distribution;
  absent: Distribution;
  extraP99Ms: number;
}

/** What it costs to want an expert whose absence is known, both kinds of requests taking turns. */
export async function measureAbsence(seconds = 60): Promise<Absence> {
  await using world = await startWorld();
  for (const expert of Object.values(world.experts)) expert.kill('SIGTERM');
  await Promise.all(Object.values(world.experts).map(({ exited }) => exited));
  const traffic = await startTraffic({ url: () => world.url, perSecond: 150, deadlineMs: 1000 });
  await sleep(3000); // warm, and the absence known
  traffic.outcomes.length = 0;
  await sleep(1000 * seconds);
  await traffic.stop();
  const times = (reason: string | null) =>
    summarise(traffic.outcomes.filter(({ degraded }) => degraded === reason).map(({ ms }) => ms));
  const [own, absent] = [times(null), times('no-expert')];
  return { own, absent, extraP99Ms: round(absent.p99 - own.p99, 2) };
}
