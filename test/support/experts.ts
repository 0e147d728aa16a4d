import { watchArrivals } from '../../services/edge/experts/arrivals.ts';
import type { ExpertHealth } from '../../services/edge/experts/circuit.ts';
import type { ExpertsContext } from '../../services/edge/experts/context.ts';
import { createDirectory } from '../../services/edge/experts/directory.ts';
import { createExpertLog } from '../../services/edge/experts/expert-log.ts';
import { createExperts } from '../../services/edge/experts/experts.ts';
import { openHealths } from '../../services/edge/experts/healths.ts';
import { createHedgeBudget } from '../../services/edge/experts/hedge-budget.ts';
import type { RequestContext } from '../../services/edge/experts/request-context.ts';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { ModelEntry } from '../../shared/bundle/model.ts';
import { createMemoryBus } from '../../shared/bus/memory.ts';
import { createResponder } from '../../shared/bus/responder.ts';
import { createEdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import { Deadline } from '../../shared/request/deadline.ts';
import {
  type ClassifyRequest,
  cancelSubject,
  classifySubject,
  decodeCancel,
  decodeRequest,
  EXPERT_QUEUE,
  encodeReply,
} from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import { keepLines } from './log-lines.ts';
import { LABELS, makeTinyBundle, SIZE } from './tiny-bundle.ts';

export interface Options extends Partial<ExpertsContext> {
  /** Experts that are still starting. Default: none. */
  expected?: string[];
}

/** The edge's side of asking, as a service makes it, on a bus inside this process. */
export function openAsking(bundle: Bundle, { expected = [], ...options }: Options = {}) {
  const bus = createMemoryBus();
  const { log, of } = keepLines();
  const digestOf = (id: string) => (bundle.manifest.models[id] as ModelEntry).sha256;
  const state = { strategies: [], labels: [], holders: () => [], waiting: () => 0, circuits: () => [] };
  const metrics = createEdgeMetrics({ ...state, experts: bundle.there });
  const expertLog = createExpertLog(log);
  const healths = new Map<string, ExpertHealth>();
  openHealths(healths, bundle.there, { expertLog, metrics });
  const awaited = expected.map((id) => ({ id, sha256: digestOf(id) }));
  const directory = createDirectory(bus);
  const context: ExpertsContext = {
    bundle,
    bus,
    near: true,
    health: (id) => healths.get(id) as ExpertHealth,
    secondChoice: true,
    hedges: createHedgeBudget(),
    arrivals: watchArrivals({ bus, directory, log, experts: awaited, graceMs: 600_000 }),
    expertLog,
    metrics,
    sheds: () => false,
    ...options,
  };
  return { bus, context, digestOf, of, experts: createExperts(context) };
}

export type Asking = ReturnType<typeof openAsking>;

/** A request for `milliseconds`, and its caller. */
export function openRequest(milliseconds = 600_000) {
  const caller = new AbortController();
  const deadline = new Deadline(milliseconds, caller.signal);
  const request: RequestContext = { requestId: 'request-1', deadline, caller: caller.signal };
  return { caller, request, [Symbol.dispose]: () => deadline[Symbol.dispose]() };
}

/** An expert's side of the protocol: keeps what it is asked, and answers as `answer` says, or never. */
export function serveExpert(
  { bus }: Asking,
  id: string,
  answer: (request: ClassifyRequest) => Message | Promise<Message>,
) {
  const questions: ClassifyRequest[] = [];
  const cancelled: string[] = [];
  bus.subscribe(cancelSubject(id), (message) => void cancelled.push(decodeCancel(message)));
  createResponder({ bus, queue: EXPERT_QUEUE, capacity: 8 }).serve(classifySubject(id), async (message) => {
    const request = decodeRequest(message);
    questions.push(request);
    return answer(request);
  });
  return { questions, cancelled };
}

export const replyOf = (outputs: Tensors, modelDigest: string) => (request: ClassifyRequest) =>
  encodeReply({ outputs, expertMs: 1.5, modelDigest }, request);

export const silent = () => new Promise<Message>(() => {});

export const pixels = { pixels: new Uint8Array(SIZE * SIZE * 3).fill(7), width: SIZE, height: SIZE };
export const logits: Tensors = { logits: { type: 'float32', shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) } };
export const attention: Tensors = {
  attention: { type: 'float32', shape: [1, 3], data: Float32Array.of(0.5, 0.25, 0.25) },
};

/** An expert that answers with these outputs. */
export const serve = (asking: Asking, id: string, outputs: Tensors = logits) =>
  serveExpert(asking, id, replyOf(outputs, asking.digestOf(id)));

/** A bundle whose expert `warm` has a second output. */
export const makeAskedBundle = () =>
  makeTinyBundle({ golden: null, models: { warm: { rows: LABELS.map(() => [0, 0, 0, 0]), attention: true } } });
