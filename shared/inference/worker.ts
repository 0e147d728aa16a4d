import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import type { WorkerReply, WorkerRequest } from './messages.ts';
import { InferenceSession, listSupportedBackends, Tensor } from './onnxruntime.ts';
import { type RunnableModel, sessionMemory } from './runnable.ts';

/**
 * The child process that runs models: onnxruntime blocks the process of its `run`.
 *
 * Signals are left to the parent: Ctrl-C reaches the whole process group, and this process must finish its work
 * before the parent closes the channel.
 */
const [threads, memoryBytes] = process.argv.slice(2, 4).map(Number) as [number, number];
const providers = process.argv.slice(4);
for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));

/** By the digest of the file they were made from. */
const sessions = new LRUCache<string, { session: InferenceSession; bytes: number }>({
  maxSize: memoryBytes,
  sizeCalculation: ({ bytes }) => sessionMemory(bytes),
  dispose: ({ session }) => void session.release(),
});

/**
 * By the same digests, also those whose sessions were released: whether the graph takes several pictures in one run.
 */
const takesSeveral = new Map<string, boolean>();

let turn = Promise.resolve();
process.on('message', (request: WorkerRequest) => {
  turn = turn.then(() => answer(request));
});

async function answer(request: WorkerRequest): Promise<void> {
  try {
    const { model, pixels, count } = request;
    const known = sessions.get(model.sha256)?.session;
    const session = known ?? (await open(model));
    const begun = performance.now();
    const outputs = await run(session, model, pixels, count);
    const runMs = performance.now() - begun;
    if (known) return send({ job: request.job, outputs, runMs });
    const several = takesSeveral.get(model.sha256) ?? (await tryTwo(session, model));
    takesSeveral.set(model.sha256, several);
    send({ job: request.job, outputs, runMs, loaded: { holds: [...sessions.keys()], takesSeveral: several } });
  } catch (error) {
    send({ job: request.job, failure: (error as Error).message });
  }
}

async function run(session: InferenceSession, model: RunnableModel, pixels: Uint8Array, count: number) {
  const input = new Tensor('uint8', pixels, [count, model.size, model.size, 3]);
  const results = await session.run({ pixels: input });
  const outputs: Record<string, Float32Array> = {};
  for (const [name, length] of Object.entries(model.outputs)) {
    const data = results[name]?.data;
    if (!(data instanceof Float32Array) || data.length !== count * length) {
      throw new Error(`output '${name}' has ${data?.length ?? 'no'} values, expected ${count} x ${length} float32`);
    }
    outputs[name] = data;
  }
  return outputs;
}

/** What the graph declares does not tell: an exporter may fix the number of pictures in the midst of it. */
function tryTwo(session: InferenceSession, model: RunnableModel): Promise<boolean> {
  return run(session, model, new Uint8Array(2 * 3 * model.size ** 2), 2).then(
    () => true,
    () => false,
  );
}

async function open(model: RunnableModel): Promise<InferenceSession> {
  const needed = sessionMemory(model.bytes);
  if (needed > memoryBytes) {
    // The cache would refuse it without a word, and it would be loaded for every picture.
    throw new Error(`needs about ${needed} bytes of memory, the budget (ASK_EXPERT_MEMORY_MB) is ${memoryBytes}`);
  }
  // Onnxruntime leaves out the providers it was not built with, with a warning and slower models.
  const built = listSupportedBackends().map(({ name }) => name);
  const missing = providers.find((name) => !built.includes(name));
  if (missing) throw new Error(`this onnxruntime has no execution provider '${missing}', it has ${built.join(', ')}`);
  const content = await read(model);
  const session = await create(content, providers).catch(async (error: Error) => {
    await checkFile(content, model.path);
    throw new Error(`ASK_EXECUTION_PROVIDERS=${providers}: ${error.message}`, { cause: error });
  });
  // Onnxruntime has its own copy; these bytes would stay until a collection, which a quiet process puts off for long.
  if (content.length === content.buffer.byteLength) content.buffer.transfer(0);
  sessions.set(model.sha256, { session, bytes: model.bytes });
  return session;
}

function create(content: Uint8Array, executionProviders: string[]): Promise<InferenceSession> {
  return InferenceSession.create(content, { intraOpNumThreads: threads, interOpNumThreads: 1, executionProviders });
}

/** Throws if the processor cannot load the file either: then the providers are not at fault. */
async function checkFile(content: Uint8Array, path: string): Promise<void> {
  const session = await create(content, ['cpu']).catch((error: Error) => {
    throw new Error(`${path} cannot be loaded: ${error.message}`, { cause: error });
  });
  await session.release();
}

/** The file's bytes, once they are known to be those of the manifest: what is checked is what is loaded. */
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
  process.send?.(reply, undefined, undefined, () => {}); // a parent that is gone ends this process by 'disconnect'
}

send({ ready: true });
