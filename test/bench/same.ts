import { readRecords } from '../../services/cli/records.ts';
import { readArguments, refuse } from '../../shared/service/arguments.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import { checkOut, spawnFrom } from '../support/revision.ts';
import { waitForLog } from '../support/service.ts';

const help = `npm run -s bench:same -- --base COMMIT --data FILE [--limit 1000]
Whether a change altered answers. The commit and this checkout each serve the bundle of their own, one picture after the
other without batches, and must agree to the last digit on label, index, confidence, topK, route, expert and
decision.value. FILE holds CIFAR-100 records. Ends with status 1 where they differ.`;
const { values: options } = readArguments({
  name: 'bench:same',
  help: () => help,
  options: { base: { type: 'string' }, data: { type: 'string' }, limit: { type: 'string', default: '1000' } },
});
const { base, data } = options;
const limit = Number(options.limit);
if (base === undefined || data === undefined) refuse('bench:same', '--base COMMIT and --data FILE are both needed');
if (!Number.isInteger(limit) || limit < 1) refuse('bench:same', '--limit takes 1 or more');

async function ask(url: string, { pixels, width, height }: Pixels): Promise<string> {
  const headers = { 'content-type': `image/x-rgb8; width=${width}; height=${height}` };
  const response = await fetch(`${url}/classify`, { method: 'POST', headers, body: Buffer.from(pixels) });
  // biome-ignore lint/suspicious/noExplicitAny: what is read of it is compared
  const { label, index, confidence, topK, route, expert, decision } = (await response.json()) as any;
  return JSON.stringify({ label, index, confidence, topK, route, expert, value: decision.value });
}

async function start(folder: string, services: AsyncDisposableStack): Promise<string> {
  const service = services.use(spawnFrom(folder, 'local', { PORT: '0', ASK_BATCH_MAX: '1', ASK_WORKERS: '1' }));
  await waitForLog(service, 'experts are ready');
  return /"url":"([^"]+)","msg":"ready"/.exec(service.log())?.[1] as string;
}

const folder = await checkOut(base);
if (folder === undefined) refuse('bench:same', `this clone does not hold ${base}`);
await using services = new AsyncDisposableStack();
const [before, after] = await Promise.all([start(folder, services), start(process.cwd(), services)]);
const LABELS = 100;
const pictures = await readRecords(data, LABELS, limit);
let different = 0;
for (const [i, { pixels }] of pictures.entries()) {
  const [old, now] = await Promise.all([ask(before, pixels), ask(after, pixels)]);
  if (old === now) continue;
  different += 1;
  process.stdout.write(`picture ${i}:\n  ${old}\n  ${now}\n`);
}
process.stdout.write(`${pictures.length} pictures, ${different} with another answer\n`);
process.exitCode = different > 0 ? 1 : 0;
