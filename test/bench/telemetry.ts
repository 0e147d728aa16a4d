import { loadavg } from 'node:os';
import { readArguments } from '../../shared/service/arguments.ts';
import { startCollector } from '../support/collector.ts';
import { exitOnSignals } from '../support/kill-at-exit.ts';
import { spawnHttp, waitForLog } from '../support/service.ts';
import { load } from './child.ts';
import { PICTURES } from './pictures.ts';

const help = `npm run -s bench:telemetry
Throughput of the whole system with tracing over that without. Two systems are up at once and are loaded in turns, by
another process, closed loop.`;
const ROUNDS = 8;
const SECONDS = 5;
const CLIENTS = 8;

readArguments({ name: 'bench:telemetry', help: () => help });
exitOnSignals();
await using collector = await startCollector();
const env = { ASK_CACHE_BYTES: '0', LOG_LEVEL: 'info' };
await using plain = await spawnHttp('local', env);
await using traced = await spawnHttp('local', { ...env, ...collector.env, OTEL_BSP_SCHEDULE_DELAY: '1000' });
for (const system of [plain, traced]) await waitForLog(system, 'experts are ready');

const ratios: number[] = [];
for (let round = -1; round < ROUNDS; round++) {
  const rates = new Map<string, number>();
  // Whoever goes first changes with the round.
  for (const { url } of round % 2 === 0 ? [plain, traced] : [traced, plain]) {
    const spec = {
      url,
      clients: CLIENTS,
      seconds: SECONDS,
      warmUpSeconds: 0.5,
      picture: PICTURES['png-32'],
      repeat: 0,
    };
    const { perSecond, statuses } = await load(spec);
    if (Object.keys(statuses).join() !== '200') throw new Error(`answered ${JSON.stringify(statuses)}`);
    rates.set(url, perSecond);
  }
  const [off, on] = [rates.get(plain.url) as number, rates.get(traced.url) as number];
  if (round < 0) continue;
  ratios.push(on / off);
  process.stdout.write(`off ${off.toFixed(1)}/s  on ${on.toFixed(1)}/s  ratio ${(on / off).toFixed(3)}\n`);
}
const sorted = ratios.toSorted((a, b) => a - b);
const median = ((sorted[ROUNDS / 2 - 1] as number) + (sorted[ROUNDS / 2] as number)) / 2;
const spread = `${sorted[0]?.toFixed(3)} to ${sorted.at(-1)?.toFixed(3)}`;
process.stdout.write(
  `median ratio ${median.toFixed(3)} (${spread}), ${collector.spans.length} spans, load ${loadavg()[0]?.toFixed(2)}\n`,
);
