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
    const thresholds = await shares(service.url, picture);
    for (const share of ESCALATED) {
      const path = `/classify?threshold=${thresholds(share)}&deadlineMs=10000`;
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

/** The threshold below which a share of such pictures lies, from a hundred of them. */
export async function shares(url: string, picture: Picture): Promise<(share: number) => number> {
  const values: number[] = [];
  for (const image of (await distinct(picture)).slice(0, 100)) {
    const { body } = await postImage(url, image, '?strategy=edge', picture.type);
    values.push(body.decision.value);
  }
  values.sort((a, b) => a - b);
  return (share) => (share === 1 ? 1 : share === 0 ? 0 : (values[Math.floor(share * values.length)] as number));
}
