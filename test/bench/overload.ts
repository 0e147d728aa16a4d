import { spawnHttp, waitForLog } from '../support/service.ts';
import { load, metrics } from './child.ts';
import type { Settings } from './figures.ts';
import { PICTURES } from './pictures.ts';
import { round } from './statistics.ts';

const DEADLINE_MS = 2000;
const LEAST_SECONDS = 10; // machines have faster moments: a minute is not held against one

/** Twice what saturates the edge, for `overloadSeconds`, at a fixed rate; beside what saturates it before and after. */
export async function overload({ bundle, seconds, overloadSeconds }: Settings & { overloadSeconds: number }) {
  await using service = await spawnHttp('local', { ASK_MODELS_DIR: bundle, ASK_CACHE_BYTES: '0', LOG_LEVEL: 'info' });
  await waitForLog(service, 'experts are ready');
  const path = `/classify?strategy=edge&deadlineMs=${DEADLINE_MS}`;
  const spec = {
    url: service.url,
    clients: 16,
    seconds: Math.max(LEAST_SECONDS, seconds),
    warmUpSeconds: 1,
    picture: PICTURES['png-32'],
    repeat: 0,
    path,
  };
  const saturated = (await load(spec)).perSecond;
  const twice = await load({ ...spec, clients: 512, seconds: overloadSeconds, rate: 2 * saturated });
  const after = (await load(spec)).perSecond;
  const { 200: answered = 0, 429: refused = 0, ...others } = twice.statuses;
  return {
    overloadThroughputRatio: round((2 * twice.perSecond) / (saturated + after)),
    overloadAnswered: answered,
    overloadRefused: refused,
    overloadOther: Object.values(others).reduce((sum, n) => sum + n, 0),
    overloadSlowestMs: twice.latency.max,
    overloadDeadlineMs: DEADLINE_MS,
    afterOverloadThroughputRatio: round(after / saturated),
  };
}

/** Resident memory of the edge's main process over so many requests: how the last third differs from the second. */
export async function memory(requests: number, bundle: string) {
  await using service = await spawnHttp('edge', {
    ASK_MODELS_DIR: bundle,
    LOG_LEVEL: 'info',
    NATS_URL: 'nats://127.0.0.1:9',
  });
  const spec = {
    url: service.url,
    clients: 16,
    seconds: 5,
    warmUpSeconds: 0,
    picture: PICTURES['png-32'],
    repeat: 0.5,
  };
  const seen: { answers: number; rss: number }[] = [];
  for (let answers = 0; answers < requests; ) {
    const result = await load({ ...spec, path: '/classify?strategy=edge' });
    if (Object.keys(result.statuses).join() !== '200') throw new Error(`answered ${JSON.stringify(result.statuses)}`);
    answers += result.answers;
    seen.push({ answers, rss: (await metrics(service.url)).get('process_resident_memory_bytes') as number });
  }
  const mean = (from: number, to: number) => {
    const part = seen.filter(({ answers }) => answers > from * requests && answers <= to * requests);
    return part.reduce((sum, { rss }) => sum + rss, 0) / part.length;
  };
  return {
    memoryRequests: seen.at(-1)?.answers ?? 0,
    memoryGrowth: round(mean(2 / 3, 2) / mean(1 / 3, 2 / 3) - 1, 4),
    memoryRssMb: round(Math.max(...seen.map(({ rss }) => rss)) / 2 ** 20, 1),
  };
}
