import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import type { WorkerReply, WorkerRequest } from './inference.protocol.ts';
import { sessionMemory } from './runnable.ts';

/**
 * The child process that runs models; the only file that imports onnxruntime-node, whose `run` blocks its process.
 *
 * Signals are left to the parent: Ctrl-C reaches the whole process group, and this process must finish its work
 * before the parent closes the channel.
 */
const [threads, memoryBytes] = process.argv.slice(2, 4).map(Number) as [number, number];
const providers = process.argv.slice(4);
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => process.exit(0));

/** By the digest of the file they were made from. */
const sessions = new LRUCache<string, { session: InferenceSession; bytes: number }>({
  maxSize: memoryBytes,
  sizeCalculation: ({ bytes }) => sessionMemory(bytes),
  dispose: ({ session }) => void session.release(),
});

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
    const runMs = performance.now() - begun;
    send({ job: request.job, outputs, runMs, ...(known ? {} : { holds: [...sessions.keys()] }) });
  } catch (error) {
    send({ job: request.job, failure: (error as Error).message });
  }
}

async function open(model: WorkerRequest['model']): Promise<InferenceSession> {
  const needed = sessionMemory(model.bytes);
  if (needed > memoryBytes) {
    // The cache would refuse it without a word, and it would be loaded for every picture.
    throw new Error(`needs about ${needed} bytes of memory, the budget (ASK_EXPERT_MEMORY_MB) is ${memoryBytes}`);
  }
  // Onnxruntime leaves out the providers it was not built with, with a warning and slower models.
  const built = listSupportedBackends().map(({ name }) => name);
  const missing = providers.find((name) => !built.includes(name));
  if (missing) throw new Error(`this onnxruntime has no execution provider '${missing}', it has ${built.join(', ')}`);
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, executionProviders: providers };
  const content = await read(model);
  const session = await InferenceSession.create(content, options).catch((error: Error) => {
    throw new Error(`ASK_EXECUTION_PROVIDERS=${providers}: ${error.message}`, { cause: error });
  });
  // Onnxruntime has its own copy; these bytes would stay until a collection, which a quiet process puts off for long.
  if (content.length === content.buffer.byteLength) content.buffer.transfer(0);
  sessions.set(model.sha256, { session, bytes: model.bytes });
  return session;
}

/** The file's bytes, once they are known to be those of the manifest: what is checked is what is loaded. */
async function read({ path, bytes, sha256 }: WorkerRequest['model']) {
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
