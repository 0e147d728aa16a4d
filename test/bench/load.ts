import { performance } from 'node:perf_hooks';
import { type Answer, Connection } from './http-client.ts';
import { distinct, type Picture, repeated } from './pictures.ts';
import { type Distribution, median, summarise } from './statistics.ts';

/**
 * Load on `/classify`, as a process of its own: `node load.ts '<LoadSpec as JSON>'`; prints a LoadResult as JSON.
 * Closed loop: every client sends its next request when it has its answer. Open loop (`rate`): requests are due at
 * fixed intervals whether or not others are answered, and their latency counts from when they were due.
 */
export interface LoadSpec {
  url: string;
  /** Connections; in an open loop the most that may be in flight. */
  clients: number;
  seconds: number;
  /** Not counted. */
  warmUpSeconds: number;
  /** Requests a second; absent: closed loop. */
  rate?: number;
  picture: Picture;
  /** Share of requests that repeat one of the last pictures. */
  repeat: number;
  /** Where to post to, query included. Default: `/classify`. */
  path?: string;
  /** What the body is. Default: the picture itself. */
  form?: keyof typeof forms;
}

type Form = (picture: Buffer, type: string) => { type: string; headers?: Record<string, number>; body: Buffer };

const forms = {
  raw: (picture, type) => ({ type, body: picture }),
  /** The picture as base64 in JSON. */
  json: (picture) => ({
    type: 'application/json',
    body: Buffer.from(JSON.stringify({ image: picture.toString('base64') })),
  }),
  /** The KServe protocol, version 2, with Triton's extension for binary data. */
  v2: (picture) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(picture.length);
    const parameters = { binary_data_size: length.length + picture.length };
    const image = { name: 'image', shape: [1, 1], datatype: 'BYTES', parameters };
    const head = Buffer.from(JSON.stringify({ inputs: [image] }));
    return {
      type: 'application/octet-stream',
      headers: { 'inference-header-content-length': head.length },
      body: Buffer.concat([head, length, picture]),
    };
  },
} satisfies Record<string, Form>;

export interface LoadResult {
  answers: number;
  perSecond: number;
  /** Answers by HTTP status; `failed` counts broken connections. */
  statuses: Record<string, number>;
  escalated: number;
  /** Medians of the milliseconds that escalated answers say their parts took; empty if none says so. */
  timings: Record<string, number>;
  /** Milliseconds of the answers with status 200. */
  latency: Distribution;
  /** What this process itself used, per answer. */
  clientCpuMs: number;
}

const spec = JSON.parse(process.argv[2] as string) as LoadSpec;
const { hostname, port } = new URL(spec.url);
const pool = await distinct(spec.picture);
const next = repeated(pool, spec.repeat, spec.picture);
const connections = Array.from({ length: spec.clients }, () => new Connection(hostname, Number(port)));
const { path = '/classify', form = 'raw' } = spec;
const request = (picture: Buffer) => ({ path, ...forms[form](picture, spec.picture.type) });
const byExpert = /"route\\?": ?\\?"expert/; // a server may put its JSON into a string of JSON

const latencies: number[] = [];
const timings: Record<string, number[]> = {};
const statuses: Record<string, number> = {};
let escalated = 0;
const begun = performance.now();
const counted = begun + spec.warmUpSeconds * 1000;
const end = counted + spec.seconds * 1000;
let patient = true;
let usage = process.cpuUsage();
setTimeout(() => {
  usage = process.cpuUsage();
}, spec.warmUpSeconds * 1000);

function count(answer: Answer | undefined, due: number): void {
  const now = performance.now();
  // Closed loop: what was answered in the time that counts, though it may have been asked before; open loop: what was
  // due.
  const when = spec.rate === undefined ? now : due;
  if (when < counted || when > end) return;
  const key = answer ? String(answer.status) : 'failed';
  statuses[key] = (statuses[key] ?? 0) + 1;
  if (answer?.status !== 200) return;
  const text = answer.body.toString('latin1');
  if (byExpert.test(text)) {
    escalated += 1;
    for (const [, part, milliseconds] of text.matchAll(/"(\w+Ms)":([\d.]+)/g)) {
      timings[part as string] ??= [];
      timings[part as string]?.push(Number(milliseconds));
    }
  }
  latencies.push(now - due);
}

async function closed(connection: Connection): Promise<void> {
  while (performance.now() < end) {
    const picture = request(next()); // making it is no part of the answer's time
    const due = performance.now();
    count(await connection.post(picture).catch(() => undefined), due);
  }
}

async function open(rate: number): Promise<void> {
  const free = [...connections];
  const waiting: number[] = [];
  const serve = async (connection: Connection, due: number): Promise<void> => {
    count(await connection.post(request(next())).catch(() => undefined), due);
    const late = patient ? waiting.shift() : undefined;
    if (late === undefined) free.push(connection);
    else await serve(connection, late);
  };
  const running: Promise<void>[] = [];
  for (let i = 0; ; i++) {
    let due = begun + (i * 1000) / rate;
    if (due > end) break;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    due = Math.min(due, performance.now()); // timers may be early
    const connection = free.pop();
    if (connection) running.push(serve(connection, due));
    else waiting.push(due);
  }
  await Promise.all(running);
  for (const due of waiting) count(undefined, due);
}

// Whoever has not answered well after the end is taken for dead: closing fails what is still pending, and what waits
// is not sent any more.
const patience = setTimeout(
  () => {
    patient = false;
    for (const connection of connections) connection.close();
  },
  (spec.warmUpSeconds + spec.seconds + 10) * 1000,
);
await (spec.rate === undefined ? Promise.all(connections.map(closed)) : open(spec.rate));
clearTimeout(patience);
const { user, system } = process.cpuUsage(usage);
for (const connection of connections) connection.close();
const result: LoadResult = {
  answers: latencies.length,
  perSecond: latencies.length / spec.seconds,
  statuses,
  escalated,
  timings: Object.fromEntries(Object.entries(timings).map(([part, values]) => [part, median(values)])),
  latency: summarise(latencies),
  clientCpuMs: (user + system) / 1000 / Math.max(1, latencies.length),
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
