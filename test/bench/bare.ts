import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { decodePicture } from '../../shared/imaging/codec.ts';
import { ModelProcess } from '../../shared/inference/model-process.ts';
import { createRunLimit } from '../../shared/inference/run-limit.ts';
import { toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import { topK } from '../../shared/policy/probabilities.ts';

/**
 * The least that an HTTP service in Node with its model in a process of its own costs: Node's server, decoding, one
 * run, the best label. No routing, no checks, no limits, and one caller at a time. `node bare.ts BUNDLE`; prints its
 * URL.
 */
const bundle = await loadBundle(process.argv[2] as string);
const { labels } = bundle.manifest;
const { generalist } = viewCascade(bundle.manifest);
const model = toRunnable(bundle, generalist.id);
const started = Promise.withResolvers<void>();
const runner = new ModelProcess({ threads: 1 }, createRunLimit(), {
  onReady: started.resolve,
  onError: started.reject,
  onExit: () => process.exit(1),
});
await started.promise;

async function answer(picture: Buffer): Promise<string> {
  const { pixels } = await decodePicture(picture, generalist.rule, 1e9);
  const { outputs } = await runner.run(model, [toInputs(model, pixels)]);
  const [best] = topK(outputs.logits?.data as Float32Array, 1) as [number];
  return JSON.stringify({ label: labels[best] });
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    const body = await answer(Buffer.concat(chunks));
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', Buffer.byteLength(body));
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
