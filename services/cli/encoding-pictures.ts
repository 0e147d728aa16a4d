import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { PictureRule } from '../../shared/bundle/model.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { fitPixels } from '../../shared/imaging/codec.ts';
import type { InferencePool } from '../../shared/inference/pool.ts';
import { toInputs, toRunnable } from '../../shared/inference/runnable.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import { readPredictions } from './calibrate/predictions.ts';
import { isFolder, type Labelled, readLabelled } from './labelled.ts';
import { showProgress } from './progress.ts';
import { readRecordFile, readRecords } from './records.ts';
import { UsageError } from './usage.ts';

/** A picture, its class, and the generalist's logits. */
export interface Judged {
  /** Its pixels by a model's rule. */
  view(rule: PictureRule): Promise<Pixels>;
  label: number;
  logits: Float32Array;
}

interface PictureOptions {
  data: string;
  limit: number;
  maxPixels: number;
}

interface Source {
  /** Whether they are other pictures than the bundle's own validation pictures. */
  given: boolean;
  judge(pool: InferencePool): Promise<Judged[]>;
}

/**
 * Pictures from a folder per class, which the generalist classifies now; otherwise the validation pictures in the
 * records that the bundle was trained on, with the predictions stored then.
 */
export async function openPictures(bundle: Bundle, options: PictureOptions): Promise<Source> {
  const { data } = options;
  if (await isFolder(data)) {
    const pictures = await readLabelled(data, bundle.manifest, options);
    return { given: true, judge: (pool) => judge(bundle, pool, pictures) };
  }
  const pictures = await readValidation(bundle, options);
  return { given: false, judge: async () => pictures };
}

async function judge(bundle: Bundle, pool: InferencePool, pictures: Labelled[]): Promise<Judged[]> {
  const generalist = toRunnable(bundle, viewCascade(bundle.manifest).generalist.id);
  using progress = showProgress(pictures.length, 'pictures');
  return each(pictures, async ({ label, load }): Promise<Judged> => {
    const { pixels, view } = await load();
    const { outputs } = await pool.run(generalist, toInputs(generalist, pixels.pixels));
    progress.step();
    return { view, label, logits: outputs.logits?.data as Float32Array };
  });
}

/** Finds them by the rows that training stored. */
async function readValidation(bundle: Bundle, { data, limit }: PictureOptions): Promise<Judged[]> {
  const { manifest } = bundle;
  const { generalist } = viewCascade(manifest);
  const { rows, labels, logits } = await readPredictions(bundle);
  if (rows === undefined)
    throw new UsageError("the bundle's predictions do not say which pictures they are of; train it again");
  const digest = createHash('sha256')
    .update(await readRecordFile(data))
    .digest('hex');
  if (digest !== manifest.provenance.dataSha256) {
    throw new UsageError(`${data} has sha256 ${digest}, the bundle was trained on ${manifest.provenance.dataSha256}`);
  }
  const records = await readRecords(data, manifest.labels.length, Number.POSITIVE_INFINITY);
  const said = logits.get(generalist.id) as Float32Array[];
  return Promise.all(
    Array.from(rows.subarray(0, limit), async (row, i): Promise<Judged> => {
      const record = records[row];
      if (!record || record.label !== labels[i])
        throw new UsageError(`${data}: record ${row} is not validation picture ${i}`);
      const view = (rule: PictureRule) => fitPixels(record.pixels, rule);
      return { view, label: record.label, logits: said[i] as Float32Array };
    }),
  );
}

/** Runs as many at once as keep the models busy. */
export function each<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const slots = pLimit(2 * availableParallelism());
  return Promise.all(items.map((item) => slots(() => work(item))));
}
