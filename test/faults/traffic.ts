import { Agent, request } from 'node:http';
import { flatPng, SURE_RED, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';

export const kinds = ['sure', 'warm', 'cold'] as const;

export interface Outcome {
  kind: (typeof kinds)[number];
  /** When it was sent and how long the answer took, in milliseconds. */
  at: number;
  ms: number;
  /** Null: the connection broke before the answer. */
  status: number | null;
  degraded: string | null;
  id: string;
  traceId: string;
}

export interface TrafficOptions {
  /** Where the request with this number goes. */
  url(count: number): string;
  perSecond: number;
  deadlineMs: number;
}

/**
 * Cameras that send pictures at a fixed rate, whatever becomes of them (open loop), each once: no retries. A third is
 * the generalist's own, a third for each expert.
 */
export async function startTraffic({ url, perSecond, deadlineMs }: TrafficOptions) {
  const pictures = [await flatPng(SURE_RED), await flatPng(UNSURE_WARM), await flatPng(UNSURE_COLD)];
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const outcomes: Outcome[] = [];
  const waiting = new Set<Promise<void>>();
  let count = 0;

  async function send(): Promise<void> {
    const to = url(count);
    const which = count++ % kinds.length;
    const kind = kinds[which] as Outcome['kind'];
    const at = performance.now();
    const { status, body } = await post(`${to}/classify?deadlineMs=${deadlineMs}`, pictures[which] as Buffer, agent);
    const ms = performance.now() - at;
    const { degraded = null, id = '', traceId = '' } = body as { degraded?: string; id?: string; traceId?: string };
    outcomes.push({ kind, at, ms, status, degraded, id, traceId });
  }

  const begun = performance.now();
  const timer = setInterval(() => {
    while (count < ((performance.now() - begun) / 1000) * perSecond) {
      const sent: Promise<void> = send().finally(() => waiting.delete(sent));
      waiting.add(sent);
    }
  }, 5);
  return {
    outcomes,
    get sent() {
      return count;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(waiting);
      agent.destroy();
    },
  };
}

function post(url: string, image: Buffer, agent: Agent): Promise<{ status: number | null; body: object }> {
  const broken = { status: null, body: {} };
  return new Promise((resolve) => {
    const headers = { 'content-type': 'image/png', 'content-length': image.length };
    const sending = request(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? null, body: JSON.parse(Buffer.concat(chunks).toString()) });
      });
      response.on('error', () => resolve(broken));
    });
    sending.on('error', () => resolve(broken));
    sending.end(image);
  });
}
