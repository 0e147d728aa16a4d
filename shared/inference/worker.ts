import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import type { TensorSpec } from '../bundle/model.ts';
import type { TensorData, Tensors } from '../wire/tensor.ts';
import { BATCH } from '../wire/tensor.ts';
import type { WorkerReply, WorkerRequest } from './messages.ts';
import { InferenceSession, listSupportedBackends, Tensor } from './onnxruntime.ts';
import { blank, isBatched, type RunnableModel, sessionMemory } from './runnable.ts';

/**
 * The child process that runs models: onnxruntime blocks the process during a run.
 *
 * Signals are left to the parent: Ctrl-C reaches the whole process group, and this process must finish its work before
 * the parent closes the channel.
 */
const [threads, memoryBytes] = process.argv.slice(2, 4).map(Number) as [number, number];
const providers = process.argv.slice(4);
for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));

/** By the digest of the model's file. */
const sessions = new LRUCache<string, { session: InferenceSession; bytes: number }>({
  maxSize: memoryBytes,
  sizeCalculation: ({ bytes }) => sessionMemory(bytes),
  dispose: ({ session }) => void session.release(),
});

/** By digest, also of released sessions: whether the graph takes several pictures in one run. */
const takesSeveral = new Map<string, boolean>();

let turn = Promise.resolve();
process.on('message', (request: WorkerRequest) => {
  turn = turn.then(() => answer(request));
});

async function answer(request: WorkerRequest): Promise<void> {
  try {
    const { model, inputs, count } = request;
    const known = sessions.get(model.sha256)?.session;
    const session = known ?? (await open(model));
    const begun = performance.now();
    const outputs = await run(session, model, inputs, count);
    const runMs = performance.now() - begun;
    if (known) return send({ job: request.job, outputs, runMs });
    const several = takesSeveral.get(model.sha256) ?? (await tryTwo(session, model));
    takesSeveral.set(model.sha256, several);
    send({ job: request.job, outputs, runMs, loaded: { holds: [...sessions.keys()], takesSeveral: several } });
  } catch (error) {
    send({ job: request.job, failure: (error as Error).message });
  }
}

async function run(session: InferenceSession, model: RunnableModel, inputs: Tensors, count: number): Promise<Tensors> {
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { type, shape, data }]) => [name, new Tensor(type, data as never, shape)]),
  );
  const results = await session.run(feeds, Object.keys(model.outputs));
  const outputs: Tensors = {};
  for (const [name, spec] of Object.entries(model.outputs)) {
    const { type, dims, data } = results[name] as Tensor;
    if (type !== spec.type || !fits(dims, spec.shape, count)) {
      const wanted = spec.shape.map((side) => (side === BATCH ? count : side));
      throw new Error(`output '${name}' is ${type} [${dims}], expected ${spec.type} [${wanted}]`);
    }
    outputs[name] = { type: spec.type, shape: [...dims], data: data as TensorData };
  }
  return outputs;
}

function fits(dims: readonly number[], shape: TensorSpec['shape'], count: number): boolean {
  const wanted = shape.map((side) => (side === BATCH ? count : side));
  return dims.length === wanted.length && wanted.every((side, i) => typeof side === 'string' || side === dims[i]);
}

/**
 * Tries two items in one run. The declared shapes are no proof: an exporter may fix the number of items inside the
 * graph.
 */
async function tryTwo(session: InferenceSession, model: RunnableModel): Promise<boolean> {
  if (!isBatched(model)) return false;
  return run(session, model, blank(model, 2), 2).then(
    () => true,
    () => false,
  );
}

async function open(model: RunnableModel): Promise<InferenceSession> {
  const needed = sessionMemory(model.bytes);
  if (needed > memoryBytes) {
    // The cache would refuse it silently, and it would be loaded again for every picture.
    throw new Error(`needs about ${needed} bytes of memory, the budget (ASK_EXPERT_MEMORY_MB) is ${memoryBytes}`);
  }
  // Onnxruntime skips providers that it was not built with: a warning, and slower models.
  const built = listSupportedBackends().map(({ name }) => name);
  const missing = providers.find((name) => !built.includes(name));
  if (missing) throw new Error(`this onnxruntime has no execution provider '${missing}', it has ${built.join(', ')}`);
  const content = await read(model);
  const session = await create(content, providers).catch(async (error: Error) => {
    await checkFile(content, model.path);
    throw new Error(`ASK_EXECUTION_PROVIDERS=${providers}: ${error.message}`, { cause: error });
  });
  // Onnxruntime has its own copy. These bytes would stay until a collection, which an idle process puts off for long.
  if (content.length === content.buffer.byteLength) content.buffer.transfer(0);
  sessions.set(model.sha256, { session, bytes: model.bytes });
  return session;
}

function create(content: Uint8Array, executionProviders: string[]): Promise<InferenceSession> {
  return InferenceSession.create(content, { intraOpNumThreads: threads, interOpNumThreads: 1, executionProviders });
}

/** Throws if the CPU provider cannot load the file either: then the other providers are not at fault. */
async function checkFile(content: Uint8Array, path: string): Promise<void> {
  const session = await create(content, ['cpu']).catch((error: Error) => {
    throw new Error(`${path} cannot be loaded: ${error.message}`, { cause: error });
  });
  await session.release();
}

/** Reads the file and checks its digest: what is checked is what is loaded. */
async function read({ path, bytes, sha256 }: RunnableModel) {
  const content = await readFile(path).catch((error: Error) => {
    throw new Error(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (content.length !== bytes) {
    throw new Error(`${path} has ${content.length} bytes, the manifest says ${bytes}`);
  }
  const digest = createHash('sha256').update(content).digest('hex');
  if (digest !== sha256) throw new Error(`${path} has sha256 ${digest}, the manifest says ${sha256}`);
  return content;
}

function send(reply: WorkerReply): void {
  process.send?.(reply, undefined, undefined, () => {}); // if the parent is gone, 'disconnect' ends this process
}

send({ ready: true });
