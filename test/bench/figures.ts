import { availableParallelism } from 'node:os';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { load, metrics, raw, spawnBare } from './child.ts';
import { distinct, PICTURES } from './pictures.ts';
import { median, round } from './statistics.ts';

const cores = availableParallelism();
const picture = PICTURES['png-32'];
const quiet = (bundle: string) => ({ ASK_MODELS_DIR: bundle, ASK_CACHE_BYTES: '0', LOG_LEVEL: 'info' });

export interface Settings {
  bundle: string;
  /** Of one measurement. */
  seconds: number;
  /** Measurements of each kind, raw and service in turns. */
  rounds: number;
}

const WARM_UP_SECONDS = 3;
const LAG_INTERVAL_MS = 10; // Node's histogram holds the time between two looks, this long when nothing delays them
const floor = ({ bundle, seconds }: Settings, ...steps: string[][]) =>
  raw({ bundle, steps, threads: 1, picture, seconds, warmUpSeconds: warmUpOf(seconds) });

/** Measurements shorter than it have a shorter one, and are for tests alone. */
const warmUpOf = (seconds: number) => Math.min(WARM_UP_SECONDS, 3 * seconds);
/** So many times what is measured passes before it counts: until then V8 still compiles what answers. */
const WARM_UP = 3;
const warmUp = (url: string, path: string, { seconds }: Settings, clients = 4 * cores) =>
  load({ url, clients, seconds: WARM_UP * seconds, warmUpSeconds: 0, picture, repeat: 0, path });

const EDGE = '/classify?strategy=edge';
const edgeLoad = (url: string, clients: number, { seconds }: Settings) =>
  load({ url, clients, seconds, warmUpSeconds: warmUpOf(seconds), picture, repeat: 0, path: EDGE });

/**
 * Milliseconds that an answer from the edge takes one client beyond decoding and the model, and its tail; and what it
 * takes of the least that any such server does.
 */
export async function edgeLatency(settings: Settings) {
  await using service = await spawnHttp('local', quiet(settings.bundle));
  await waitForLog(service, 'experts are ready');
  await using bare = await spawnBare(settings.bundle);
  await warmUp(service.url, EDGE, settings);
  await warmUp(bare.url, '/', settings, 1);
  const over: number[] = [];
  const bareOver: number[] = [];
  const tail: number[] = [];
  for (let i = 0; i < settings.rounds; i++) {
    const lone = await floor(settings, ['generalist']);
    const { latency } = await edgeLoad(service.url, 1, settings);
    over.push(latency.p50 - lone.total.p50);
    tail.push(latency.p99 - latency.p50);
    bareOver.push((await edgeLoad(bare.url, 1, settings)).latency.p50 - lone.total.p50);
  }
  return {
    edgeP50OverRawMs: round(median(over)),
    edgeP99OverP50Ms: round(median(tail)),
    bareP50OverRawMs: round(median(bareOver)),
  };
}

/** Answers a second of a saturated edge over those of as many raw processes as it has model processes. */
export async function throughput(settings: Settings) {
  await using service = await spawnHttp('local', quiet(settings.bundle));
  await waitForLog(service, 'experts are ready');
  await warmUp(service.url, EDGE, settings);
  const ratios: number[] = [];
  const delays: number[] = [];
  let memory = 0;
  let cpu = 0;
  for (let i = 0; i < settings.rounds; i++) {
    const lone = await Promise.all(Array.from({ length: cores }, () => floor(settings, ['generalist'])));
    const before = await metrics(service.url); // event-loop delay counts from the last look
    const loaded = await edgeLoad(service.url, 8 * cores, settings);
    const after = await metrics(service.url);
    ratios.push(loaded.perSecond / lone.reduce((sum, { perSecond }) => sum + perSecond, 0));
    delays.push((after.get('nodejs_eventloop_lag_p99_seconds') as number) * 1000 - LAG_INTERVAL_MS);
    memory = Math.max(memory, (after.get('process_resident_memory_bytes') as number) / 2 ** 20);
    const used = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    cpu = used('process_cpu_seconds_total') / used('ask_answers_total');
  }
  return {
    throughputOverRaw: round(median(ratios)),
    eventLoopDelayP99Ms: round(median(delays)),
    rssMb: round(memory, 1),
    mainCpuSecondsPer1000: round(cpu * 1000),
  };
}

/**
 * Milliseconds that an escalation over a real nats-server takes one client beyond decoding, both models and encoding,
 * and of that, what its parts take: the models more than in the floor, what is between the services, and HTTP.
 * Pictures go to all experts: the floor runs them in turns too, since together they do not fit the processor's caches.
 */
export async function escalation(settings: Settings, experts: string[]) {
  await using nats: NatsServer = await startNats();
  const env = { ...quiet(settings.bundle), NATS_URL: nats.url, ASK_WORKERS: '1' };
  await using near = spawnService('expert', env);
  await using edge = await spawnHttp('edge', env);
  await waitForLog(near, 'experts are ready');
  const path = '/classify?strategy=expert';
  await warmUp(edge.url, path, settings);
  const { seconds } = settings;
  const found: Record<string, number>[] = [];
  for (let i = 0; i < settings.rounds; i++) {
    const lone = await floor(settings, ['generalist'], experts);
    const result = await load({
      url: edge.url,
      clients: 1,
      seconds,
      warmUpSeconds: warmUpOf(seconds),
      picture,
      repeat: 0,
      path,
    });
    const { latency, escalated, answers, timings } = result;
    if (escalated !== answers) throw new Error(`only ${escalated} of ${answers} answers came from an expert`);
    const part = (name: string) => timings[name] as number;
    const [generalist, expert] = lone.steps as [number, number];
    found.push({
      escalationOverheadP50Ms: latency.p50 - lone.total.p50 - part('encodeMs'),
      escalationGeneralistMs: part('edgeMs') - generalist,
      escalationExpertMs: part('expertMs') - expert,
      escalationLinkMs: part('expertRoundTripMs') - part('expertMs'),
      escalationHttpMs: latency.p50 - part('totalMs'),
      escalationEncodeMs: part('encodeMs'),
    });
  }
  const names = Object.keys(found[0] as Record<string, number>);
  return Object.fromEntries(names.map((name) => [name, round(median(found.map((one) => one[name] as number)))]));
}

/** Milliseconds from the start of the process to its first answer, and to the first of an expert. */
export async function start({ bundle, rounds }: Settings) {
  const [image] = await distinct(picture);
  const times: number[] = [];
  const whole: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const begun = performance.now();
    await using service = await spawnHttp('local', quiet(bundle));
    const { status } = await postImage(service.url, image as Buffer, '?strategy=edge');
    if (status !== 200) throw new Error(`the first answer was ${status}`);
    times.push(performance.now() - begun);
  }
  for (let i = 0; i < rounds; i++) {
    const begun = performance.now();
    await using service = await spawnHttp('local', quiet(bundle));
    const { body } = await postImage(service.url, image as Buffer, '?strategy=expert&deadlineMs=60000');
    if (body.route !== 'expert') throw new Error(`the first answer was not an expert's: ${body.degraded}`);
    whole.push(performance.now() - begun);
  }
  return { startToFirstAnswerMs: round(median(times), 0), startToWholeAnswerMs: round(median(whole), 0) };
}
