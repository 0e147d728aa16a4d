import { postImage, spawnHttp, waitForLog } from '../support/service.ts';
import { load, metrics } from './child.ts';
import type { Settings } from './figures.ts';
import { distinct, PICTURES, type Picture } from './pictures.ts';
import { round } from './statistics.ts';

/** One workload: closed loop with so many clients, or open loop at a share of the closed loop's throughput. */
export interface Row {
  picture: string;
  escalated: number;
  repeat: number;
  clients: number;
  loop: 'closed' | 'open 70 %';
  perSecond: number;
  p50: number;
  p95: number;
  p99: number;
  p999: number;
  mainCpuPer1000: number;
  busBytes: number;
  refused: number;
}

const ESCALATED = [0, 0.4, 1];
const CLIENTS = [1, 8, 64, 256];
export const SAMPLE = 100; // pictures that a threshold is chosen by

/** Every picture with every share of escalations and number of clients; one closed loop, then an open one. */
export async function grid({ bundle, seconds }: Settings, say: (text: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  await using service = await spawnHttp('local', {
    ASK_MODELS_DIR: bundle,
    LOG_LEVEL: 'info',
    ASK_EDGE_QUEUE: '512',
    ASK_EXPERT_QUEUE: '512',
  });
  await waitForLog(service, 'experts are ready');
  for (const [name, picture] of Object.entries(PICTURES) as [string, Picture][]) {
    const values = await gateConfidences(service.url, picture, SAMPLE);
    for (const share of ESCALATED) {
      const path = `/classify?threshold=${thresholdFor(share, values)}&deadlineMs=10000`;
      for (const repeat of [0, 0.5]) {
        for (const clients of CLIENTS) {
          say(`${name}, ${100 * share} % escalated, ${100 * repeat} % repeated, ${clients} clients`);
          const spec = { url: service.url, clients, seconds, warmUpSeconds: 1, picture, repeat, path };
          const measure = async (rate?: number) => {
            const before = await metrics(service.url);
            const result = await load({ ...spec, ...(rate === undefined ? {} : { rate, clients: 512 }) });
            const after = await metrics(service.url);
            const used = (key: string) => (after.get(key) ?? 0) - (before.get(key) ?? 0);
            const { latency, answers, statuses, perSecond } = result;
            rows.push({
              picture: name,
              escalated: round(result.escalated / Math.max(1, answers)),
              repeat,
              clients: spec.clients,
              loop: rate === undefined ? 'closed' : 'open 70 %',
              perSecond: round(perSecond, 1),
              p50: latency.p50,
              p95: latency.p95,
              p99: latency.p99,
              p999: latency.p999,
              mainCpuPer1000: round(
                (1000 * used('process_cpu_seconds_total')) / Math.max(1, used('ask_answers_total')),
              ),
              busBytes: round(used('ask_bus_bytes_sent_total') / Math.max(1, used('ask_answers_total')), 0),
              refused: Object.entries(statuses).reduce((sum, [status, n]) => sum + (status === '200' ? 0 : n), 0),
            });
            return perSecond;
          };
          const saturated = await measure();
          if (clients === 64) await measure(0.7 * saturated);
        }
      }
    }
  }
  return rows;
}

/** The gate's value of each of so many of the pictures. */
export async function gateConfidences(url: string, picture: Picture, count: number): Promise<number[]> {
  const values: number[] = [];
  for (const image of (await distinct(picture)).slice(0, count)) {
    const { body } = await postImage(url, image, '?strategy=edge', picture.type);
    values.push(body.decision.value);
  }
  return values;
}

/** The threshold below which a share of the values lies; 0 and 1 for none and all of them. */
export function thresholdFor(share: number, values: number[]): number {
  const ascending = values.toSorted((a, b) => a - b);
  return share === 1 ? 1 : share === 0 ? 0 : (ascending[Math.floor(share * values.length)] as number);
}
