import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { decodePicture } from '../../shared/imaging/codec.ts';
import { InferenceSession, Tensor } from '../../shared/inference/onnxruntime.ts';
import { distinct, type Picture, repeated } from './pictures.ts';
import { type Distribution, median, summarise } from './statistics.ts';

/**
 * The floor that the service stands on: decoding and onnxruntime in one process, one picture after the other, without
 * HTTP, queue or bus. `node raw.ts '<RawSpec as JSON>'`; prints a RawResult as JSON.
 */
export interface RawSpec {
  bundle: string;
  /** Models that a picture goes through, in this order: of each step's ids one, in turns, as a routed expert is. */
  steps: string[][];
  threads: number;
  picture: Picture;
  seconds: number;
  warmUpSeconds: number;
}

export interface RawResult {
  perSecond: number;
  /** Milliseconds. */
  decode: Distribution;
  compute: Distribution;
  /** Medians of the steps' runs. */
  steps: number[];
  total: Distribution;
}

const spec = JSON.parse(process.argv[2] as string) as RawSpec;
const { manifest, directory } = await loadBundle(spec.bundle);
const { rule } = viewCascade(manifest).generalist;
const { side } = rule;
const open = (id: string) => {
  const entry = manifest.models[id];
  if (!entry) throw new Error(`the bundle has no model '${id}'`);
  return InferenceSession.create(`${directory}/${entry.file}`, {
    intraOpNumThreads: spec.threads,
    interOpNumThreads: 1,
    executionProviders: ['cpu'],
  });
};
const steps = await Promise.all(spec.steps.map((ids) => Promise.all(ids.map(open))));
const next = repeated(await distinct(spec.picture), 0, spec.picture);
const begun = performance.now();
const counted = begun + spec.warmUpSeconds * 1000;
const end = counted + spec.seconds * 1000;
const times: { decode: number[]; compute: number[]; total: number[]; steps: number[][] } = {
  decode: [],
  compute: [],
  total: [],
  steps: steps.map(() => []),
};
for (let turn = 0; performance.now() < end; turn++) {
  const body = next();
  const start = performance.now();
  const { pixels } = await decodePicture(body, rule, 1e9);
  const decoded = performance.now();
  const ran = [decoded];
  for (const sessions of steps) {
    const session = sessions[turn % sessions.length] as InferenceSession;
    await session.run({ pixels: new Tensor('uint8', pixels, [1, side, side, 3]) });
    ran.push(performance.now());
  }
  const done = performance.now();
  if (start < counted) continue;
  times.decode.push(decoded - start);
  times.compute.push(done - decoded);
  times.total.push(done - start);
  for (const [i, step] of times.steps.entries()) step.push((ran[i + 1] as number) - (ran[i] as number));
}
const result: RawResult = {
  perSecond: times.total.length / spec.seconds,
  decode: summarise(times.decode),
  compute: summarise(times.compute),
  steps: times.steps.map(median),
  total: summarise(times.total),
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
