import { availableParallelism } from 'node:os';
import type { Encoding, Encodings } from '../../shared/bundle/cascade.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { type CascadeView, type Member, viewCascade } from '../../shared/bundle/view.ts';
import { decodePicture, encodePixels, encodingName } from '../../shared/imaging/codec.ts';
import { InferencePool } from '../../shared/inference/pool.ts';
import { type RunnableModel, toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import { createLog } from '../../shared/observe/log.ts';
import { mergeExpert } from '../../shared/policy/cascade.ts';
import { isRight, replay } from '../../shared/policy/replay.ts';
import type { Config } from '../../shared/settings/settings.ts';
import { changeManifest } from './change-manifest.ts';
import { each, type Judged, openPictures } from './encoding-pictures.ts';
import { print } from './output.ts';
import { showProgress } from './progress.ts';
import { InputError, UsageError } from './usage.ts';

export interface EncodingsOptions {
  data: string;
  maxLoss: string;
  limit?: string;
  dryRun?: true;
  json?: true;
}

type Row = Encodings['table'][number];

const candidates: Encoding[] = [
  { format: 'rgb8' }, // first: the others are compared with it
  { format: 'png' },
  { format: 'webp-lossless' },
  ...[98, 95, 90, 80].map((quality) => ({ format: 'jpeg' as const, quality })),
  ...[95, 80].map((quality) => ({ format: 'webp' as const, quality })),
];

/** A picture that the gate would escalate. */
interface Escalated {
  view: Judged['view'];
  label: number;
  edge: Float64Array;
  expert: Member;
}

/**
 * Sends the pictures that the gate escalates to their experts in every encoding. Writes the encoding with the fewest
 * bytes that costs at most `maxLoss` of accuracy, and the table, into the bundle's manifest; a lossy one must save a
 * quarter against the others. `data`: the CIFAR records that the bundle was trained on, whose validation pictures are
 * taken, or a folder of pictures per class. Throws UsageError, InputError and BundleError.
 */
export async function chooseEncoding(options: EncodingsOptions, config: Config): Promise<void> {
  const maxLoss = Number(options.maxLoss);
  if (!(maxLoss >= 0 && maxLoss <= 1)) throw new UsageError(`--max-loss ${options.maxLoss} is not between 0 and 1`);
  const limit = Number(options.limit ?? Number.MAX_SAFE_INTEGER);
  if (!Number.isInteger(limit) || limit < 1) throw new UsageError(`--limit ${options.limit} is not a positive number`);
  const directory = config.ASK_MODELS_DIR;
  const bundle = await loadBundle(directory);
  const cascade = viewCascade(bundle.manifest);
  const { data } = options;
  const source = await openPictures(bundle, { data, limit, maxPixels: config.ASK_MAX_PIXELS });
  const workers = availableParallelism();
  await using pool = new InferencePool({ workers, threads: 1, queueLimit: 1e9, log: createLog('error', 'ask') });
  const pictures = await source.judge(pool);
  const { escalated, edgeRight } = split(cascade, pictures);
  if (escalated.length === 0) throw new InputError('none of these pictures would be escalated');
  const models = new Map(cascade.experts.map(({ id }) => [id, toRunnable(bundle, id)]));
  using progress = showProgress(candidates.length * escalated.length, 'escalations');
  const table: Row[] = [];
  for (const encoding of candidates) {
    const tries = await each(escalated, async ({ view, edge, expert, label }) => {
      const pixels = await view(expert.rule);
      const begun = performance.now();
      const body = encoding.format === 'rgb8' ? pixels : await encodePixels(pixels, encoding);
      const encodeMs = performance.now() - begun;
      const bytes = 'pixels' in body ? body.pixels : body.bytes;
      const seen = 'pixels' in body ? body : await decodePicture(bytes, expert.rule, Number.MAX_SAFE_INTEGER);
      const model = models.get(expert.id) as RunnableModel;
      const { outputs } = await pool.run(model, toInputs(model, seen.pixels));
      const merged = mergeExpert(cascade, edge, expert.id, outputs.logits?.data as Float32Array);
      progress.step();
      return { bytes: bytes.length, encodeMs, right: isRight(merged, label) };
    });
    const right = edgeRight + tries.filter((one) => one.right).length;
    const row: Row = {
      encoding,
      bytes: round(tries.reduce((sum, { bytes }) => sum + bytes, 0) / tries.length, 0),
      encodeMs: round(tries.map(({ encodeMs }) => encodeMs).sort((a, b) => a - b)[tries.length >> 1] as number, 2),
      accuracy: round(right / pictures.length, 4),
      loss: round((table[0]?.accuracy ?? right / pictures.length) - right / pictures.length, 4),
    };
    table.push(row);
    progress.hide();
    process.stderr.write(line(row));
  }
  const fits = table.filter(({ loss }) => loss <= maxLoss).sort((a, b) => price(a) - price(b));
  const { encoding } = fits[0] as Row; // raw pixels always fit
  const measured = { pictures: pictures.length, escalated: escalated.length, maxLoss, table };
  const encodings: Encodings = source.given ? { given: true, ...measured } : measured;
  if (!options.dryRun) {
    await changeManifest(directory, (written) => {
      written.routing.encoding = encoding;
      written.encodings = encodings;
      // The certificate holds for raw pixels only.
      if ('quality' in encoding) delete written.calibration;
    });
  }
  const head = 'encoding       bytes  encode ms  accuracy     loss\n';
  const rule = `the fewest bytes (lossy ones count a third more) that cost at most ${100 * maxLoss} points`;
  const summary = `chosen: ${encodingName(encoding)}, ${rule}\n`;
  const whose = source.given ? `of ${data}, on which the generalist was run,` : 'of validation,';
  const origin = `${pictures.length} pictures ${whose} of which ${escalated.length} would be escalated\n`;
  await print(
    options.json
      ? `${JSON.stringify({ encoding, ...encodings })}\n`
      : [head, ...table.map(line), origin, summary].join(''),
  );
  if (options.dryRun) process.stderr.write('nothing was written\n');
}

/** What would be escalated, and how many of the others are right. */
function split(cascade: CascadeView, pictures: Judged[]) {
  const escalated: Escalated[] = [];
  let edgeRight = 0;
  for (const { view, label, logits } of pictures) {
    const picture = replay(cascade, { label, logits: () => logits });
    if (!picture.escalates) {
      edgeRight += Number(picture.edgeRight);
      continue;
    }
    const expert = cascade.experts.find(({ id }) => id === picture.expert) as Member;
    escalated.push({ view, label, edge: picture.edge, expert });
  }
  return { escalated, edgeRight };
}

/**
 * Bytes; lossy encodings count a third more. A measured loss that is within the noise of the sample must be worth it.
 */
function price({ encoding, bytes }: Row): number {
  return 'quality' in encoding ? (bytes * 4) / 3 : bytes;
}

function line({ encoding, bytes, encodeMs, accuracy, loss }: Row): string {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`.padStart(9);
  return `${encodingName(encoding).padEnd(14)}${String(bytes).padStart(6)}${encodeMs.toFixed(2).padStart(11)} ${percent(accuracy)}${percent(loss)}\n`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
