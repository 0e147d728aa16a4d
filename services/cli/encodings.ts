import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { decodeImage, fitPixels } from '../../shared/image.ts';
import { InferencePool } from '../../shared/inference.ts';
import { createLog } from '../../shared/log.ts';
import { type Encoding, type Encodings, loadBundle, type Manifest, type ModelEntry } from '../../shared/manifest.ts';
import { softmax, topK } from '../../shared/probabilities.ts';
import { type RunnableModel, toRunnable } from '../../shared/runnable.ts';
import { decideRouting } from '../edge/gate.ts';
import { mergeLogLinear } from '../edge/merge.ts';
import { choosePayload, encodingName } from '../edge/payload.ts';
import { type Predictions, readPredictions } from './calibrate/predictions.ts';
import { changeManifest } from './change-manifest.ts';
import { type LabelledImage, readRecordFile, readRecords } from './records.ts';
import { UsageError } from './usage.ts';

export interface EncodingsArguments {
  data?: string | undefined;
  'max-loss': string;
  limit?: string | undefined;
  'dry-run': boolean;
  json: boolean;
}

type Row = Encodings['table'][number];

const candidates: Encoding[] = [
  { format: 'rgb8' }, // first: what the others are compared with
  { format: 'png' },
  { format: 'webp-lossless' },
  ...[98, 95, 90, 80].map((quality) => ({ format: 'jpeg' as const, quality })),
  ...[95, 80].map((quality) => ({ format: 'webp' as const, quality })),
];

/** A validation picture that the gate would escalate. */
interface Escalated {
  image: LabelledImage['image'];
  label: number;
  edge: Float64Array;
  expert: ModelEntry;
}

/**
 * Sends the validation pictures that the gate escalates to their experts in every encoding, and writes the one with the
 * fewest bytes that costs at most `max-loss` of accuracy (a lossy one only if it saves a quarter against the others), with the table, into the bundle's manifest. `data`: the CIFAR
 * records that the bundle was trained on. Throws UsageError and BundleError.
 */
export async function chooseEncoding(options: EncodingsArguments, directory: string): Promise<number> {
  const maxLoss = Number(options['max-loss']);
  if (!(maxLoss >= 0 && maxLoss <= 1)) throw new UsageError(`--max-loss ${options['max-loss']} is not between 0 and 1`);
  const limit = Number(options.limit ?? Number.MAX_SAFE_INTEGER);
  if (!Number.isInteger(limit) || limit < 1) throw new UsageError(`--limit ${options.limit} is not a positive number`);
  const bundle = await loadBundle(directory);
  const { manifest } = bundle;
  const predictions = await readPredictions(bundle);
  const images = await readValidation(options.data, manifest, predictions);
  const pictures = Math.min(limit, images.length);
  const { escalated, edgeRight } = replay(manifest, predictions, images.slice(0, pictures));
  if (escalated.length === 0) throw new UsageError('none of these pictures would be escalated');
  const workers = availableParallelism();
  await using pool = new InferencePool({ workers, threads: 1, queueLimit: 1e9, log: createLog('error', 'ask') });
  const models = new Map(manifest.experts.map((expert) => [expert.id, toRunnable(bundle, expert)]));
  const table: Row[] = [];
  for (const encoding of candidates) {
    const tries = await each(escalated, 2 * workers, async ({ image, edge, expert, label }) => {
      const begun = performance.now();
      const { picture } = await choosePayload(image, undefined, encoding);
      const encodeMs = performance.now() - begun;
      const sent = 'pixels' in picture ? picture.pixels : picture.bytes;
      const { pixels } =
        'pixels' in picture ? picture : await decodeImage(sent, manifest.input, Number.MAX_SAFE_INTEGER);
      const { outputs } = await pool.run(models.get(expert.id) as RunnableModel, pixels);
      const answer = softmax(outputs.logits as Float32Array, expert.temperature);
      const merged = mergeLogLinear(edge, answer, manifest.routing.merge);
      return { bytes: sent.length, encodeMs, right: topK(merged, 1)[0] === label };
    });
    const right = edgeRight + tries.filter((one) => one.right).length;
    const row: Row = {
      encoding,
      bytes: round(tries.reduce((sum, { bytes }) => sum + bytes, 0) / tries.length, 0),
      encodeMs: round(tries.map(({ encodeMs }) => encodeMs).sort((a, b) => a - b)[tries.length >> 1] as number, 2),
      accuracy: round(right / pictures, 4),
      loss: round((table[0]?.accuracy ?? right / pictures) - right / pictures, 4),
    };
    table.push(row);
    process.stderr.write(line(row));
  }
  const fits = table.filter(({ loss }) => loss <= maxLoss).sort((a, b) => price(a) - price(b));
  const { encoding } = fits[0] as Row; // pixels as they are always fit
  const encodings: Encodings = { pictures, escalated: escalated.length, maxLoss, table };
  if (!options['dry-run']) {
    await changeManifest(directory, (written) => {
      written.routing.encoding = encoding;
      written.encodings = encodings;
      // What was certified was certified for pixels as they are.
      if ('quality' in encoding) delete written.calibration;
    });
  }
  const head = 'encoding       bytes  encode ms  accuracy     loss\n';
  const summary = `chosen: ${encodingName(encoding)}, the fewest bytes (lossy ones count a third more) that cost at most ${100 * maxLoss} points\n`;
  process.stdout.write(
    options.json ? `${JSON.stringify({ encoding, ...encodings })}\n` : [head, ...table.map(line), summary].join(''),
  );
  if (options['dry-run']) process.stderr.write('nothing was written\n');
  return 0;
}

/** The validation pictures, found in the training records by the rows that training stored. */
async function readValidation(data: string | undefined, manifest: Manifest, { rows, labels }: Predictions) {
  if (data === undefined)
    throw new UsageError('encodings needs --data FILE.bin, the records the bundle was trained on');
  if (rows === undefined)
    throw new UsageError("the bundle's predictions do not say which pictures they are of; train it again");
  const digest = createHash('sha256')
    .update(await readRecordFile(data))
    .digest('hex');
  if (digest !== manifest.provenance.dataSha256) {
    throw new UsageError(`${data} has sha256 ${digest}, the bundle was trained on ${manifest.provenance.dataSha256}`);
  }
  const records = await readRecords(data, manifest.labels.length, Number.POSITIVE_INFINITY);
  return Promise.all(
    Array.from(rows, async (row, i): Promise<LabelledImage> => {
      const record = records[row];
      if (!record || record.label !== labels[i])
        throw new UsageError(`${data}: record ${row} is not validation picture ${i}`);
      return { label: record.label, image: await fitPixels(record.image, manifest.input) };
    }),
  );
}

/** Gate and routing on the stored predictions: what would be escalated, and how many of the others are right. */
function replay(manifest: Manifest, { logits }: Predictions, images: LabelledImage[]) {
  const { generalist } = manifest;
  const said = logits.get(generalist.id) as Float32Array[];
  const escalated: Escalated[] = [];
  let edgeRight = 0;
  images.forEach(({ image, label }, i) => {
    const edge = softmax(said[i] as Float32Array, generalist.temperature);
    const { value, candidates: experts } = decideRouting(edge, manifest);
    if (value >= manifest.routing.threshold) {
      edgeRight += Number(topK(edge, 1)[0] === label);
      return;
    }
    const expert = manifest.experts.find(({ id }) => id === experts[0]?.expert) as ModelEntry;
    escalated.push({ image, label, edge, expert });
  });
  return { escalated, edgeRight };
}

/** Bytes, those of lossy encodings a third dearer: a loss so small that it drowns in the draw of the pictures must be worth it. */
function price({ encoding, bytes }: Row): number {
  return 'quality' in encoding ? (bytes * 4) / 3 : bytes;
}

function each<T, R>(items: T[], atOnce: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const slots = pLimit(atOnce);
  return Promise.all(items.map((item) => slots(() => work(item))));
}

function line({ encoding, bytes, encodeMs, accuracy, loss }: Row): string {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`.padStart(9);
  return `${encodingName(encoding).padEnd(14)}${String(bytes).padStart(6)}${encodeMs.toFixed(2).padStart(11)} ${percent(accuracy)}${percent(loss)}\n`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
