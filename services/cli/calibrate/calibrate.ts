import type { Calibration } from '../../../shared/bundle/cascade.ts';
import { type Bundle, loadBundle } from '../../../shared/bundle/load.ts';
import { viewCascade } from '../../../shared/bundle/view.ts';
import { encodingName } from '../../../shared/imaging/codec.ts';
import { changeManifest } from '../change-manifest.ts';
import { print } from '../output.ts';
import { UsageError } from '../usage.ts';
import { choose, type Goal } from './choose.ts';
import { affordable, measureTimes } from './cost.ts';
import { candidates, curve, interval, type Point, replayAll } from './curve.ts';
import { chooseMetric } from './metric.ts';
import { readPredictions } from './predictions.ts';

export const numericOptions = [
  'target-accuracy',
  'max-escalation',
  'max-latency',
  'max-energy',
  'delta',
  'edge-ms',
  'expert-ms',
  'network-ms',
  'edge-watts',
  'expert-watts',
  'network-joules',
] as const;

type Numbers = Partial<Record<(typeof numericOptions)[number], number>>;
/** Options by their names on the command line; numbers are still text. */
export type CalibrateOptions = Partial<Record<(typeof numericOptions)[number], string>> & {
  metric?: string;
  'dry-run'?: true;
  json?: true;
};

const goals = ['target-accuracy', 'max-escalation', 'max-latency', 'max-energy'] as const;
const shares = ['target-accuracy', 'max-escalation', 'delta'];

/**
 * Chooses the threshold that meets the goal on the held-out validation pictures. Writes it into the bundle's manifest
 * with the gate's metric, the certificate and the risk-coverage curve. Returns the exit status: 1, with nothing
 * written, if the goal cannot be met. Throws UsageError and BundleError.
 */
export async function calibrate(options: CalibrateOptions, directory: string): Promise<number> {
  const numbers = readNumbers(options);
  const bundle = await loadBundle(directory);
  const predictions = await readPredictions(bundle);
  const { goal, notes } = await toGoal(numbers, bundle);
  const own = viewCascade(bundle.manifest);
  const metric = chooseMetric(options.metric, own, predictions, goal);
  const cascade = { ...own, gate: { ...own.gate, measure: metric } };
  const pictures = replayAll(cascade, predictions, true);
  const n = pictures.length;
  if (n === 0) throw new UsageError(`${directory}: no validation picture was held back for calibration`);
  const { delta = 0.05 } = numbers;
  const points = curve(pictures, candidates(replayAll(cascade, predictions, false)));
  const choice: ReturnType<typeof choose> =
    (goal.escalation ?? 0) < 0 ? { unmet: 'the generalist alone costs more' } : choose(points, n, goal, delta);
  const { encoding } = cascade.routing;
  const lossy = goal.accuracy !== undefined && 'quality' in encoding;
  const caveat = lossy && `what ${encodingName(encoding)} costs on the way to experts is not in it`;
  for (const note of notes) process.stderr.write(`${note}\n`);
  if ('unmet' in choice) {
    process.stderr.write(`the goal cannot be met: ${choice.unmet}; nothing was written\n`);
    return 1;
  }
  const calibration = { metric, ...describe(choice.point, points, n, goal, numbers, delta) };
  if (caveat) calibration.guarantee += `; ${caveat}`;
  if (!options['dry-run']) {
    await changeManifest(directory, (written) => {
      Object.assign(written.gate, { measure: metric, escalates: 'below', threshold: calibration.threshold });
      written.calibration = calibration;
    });
  }
  await print(options.json ? `${JSON.stringify(calibration)}\n` : render(calibration));
  if (options['dry-run']) process.stderr.write('nothing was written\n');
  return 0;
}

function readNumbers(options: CalibrateOptions): Numbers {
  const numbers: Numbers = {};
  for (const name of numericOptions) {
    const text = options[name];
    if (text === undefined) continue;
    const value = Number(text);
    if (text.trim() === '' || !(value >= 0) || !Number.isFinite(value)) {
      throw new UsageError(`--${name} ${text} is not a number of at least 0`);
    }
    if (shares.includes(name) && value > 1) throw new UsageError(`--${name} ${text} is not between 0 and 1`);
    numbers[name] = value;
  }
  if (!goals.some((name) => numbers[name] !== undefined)) {
    throw new UsageError(`calibrate needs a goal: ${goals.map((name) => `--${name}`).join(', ')}`);
  }
  if (numbers.delta === 0 || numbers.delta === 1) throw new UsageError('--delta must lie between 0 and 1');
  return numbers;
}

/** Turns latency and energy limits into escalation limits, by means per picture. */
async function toGoal(numbers: Numbers, bundle: Bundle): Promise<{ goal: Goal; notes: string[] }> {
  const { 'target-accuracy': accuracy, 'max-latency': latency, 'max-energy': energy } = numbers;
  const notes: string[] = [];
  const limits = numbers['max-escalation'] === undefined ? [] : [numbers['max-escalation']];
  if (latency !== undefined || energy !== undefined) {
    const known = numbers['edge-ms'] !== undefined && numbers['expert-ms'] !== undefined;
    const measured = known ? undefined : await measureTimes(bundle);
    const edgeMs = numbers['edge-ms'] ?? (measured?.edgeMs as number);
    const expertMs = numbers['expert-ms'] ?? (measured?.expertMs as number);
    const { 'network-ms': networkMs = 0, 'network-joules': networkJoules = 0 } = numbers;
    const source = known ? '' : ' (median of 30 runs on this machine where not given)';
    notes.push(
      `generalist ${edgeMs.toFixed(2)} ms, expert ${expertMs.toFixed(2)} ms${source}, network ${networkMs} ms`,
    );
    if (latency !== undefined) limits.push(affordable(latency, { edge: edgeMs, escalation: expertMs + networkMs }));
    if (energy !== undefined) {
      const { 'edge-watts': edgeWatts, 'expert-watts': expertWatts } = numbers;
      if (edgeWatts === undefined || expertWatts === undefined) {
        throw new UsageError('--max-energy needs --edge-watts and --expert-watts: what the two machines draw at work');
      }
      const cost = { edge: (edgeWatts * edgeMs) / 1e3, escalation: (expertWatts * expertMs) / 1e3 + networkJoules };
      notes.push(`${cost.edge.toFixed(4)} J on the edge, ${cost.escalation.toFixed(4)} J more for an escalation`);
      limits.push(affordable(energy, cost));
    }
  }
  const goal: Goal = {};
  if (accuracy !== undefined) goal.accuracy = accuracy;
  if (limits.length > 0) goal.escalation = Math.min(...limits);
  return { goal, notes };
}

function describe(point: Point, points: Point[], n: number, goal: Goal, numbers: Numbers, delta: number) {
  const promises = [
    goal.accuracy === undefined ? [] : [`at least ${goal.accuracy} of the answers are right`],
    goal.escalation === undefined ? [] : [`at most ${goal.escalation.toFixed(4)} of the pictures are escalated`],
  ].flat();
  const asked = Object.entries(numbers).filter(([name]) => name !== 'delta');
  return {
    goal: Object.fromEntries(asked),
    confidence: 1 - delta,
    guarantee: `${promises.join(' and ')}, on pictures drawn like the ${n} held ones (exact binomial bounds, fixed-sequence testing)`,
    pictures: n,
    threshold: point.threshold,
    escalated: interval(point.escalated, n, delta),
    accuracy: interval(point.right, n, delta),
    curve: everyTwentieth(points, n).map(({ threshold, escalated, right }) => ({
      threshold,
      escalated: Math.round((1e4 * escalated) / n) / 1e4,
      accuracy: interval(right, n, delta),
    })),
  };
}

/** The first point in each twentieth of the pictures escalated, and the last point. */
function everyTwentieth(points: Point[], n: number): Point[] {
  let next = 0;
  return points.filter(({ escalated }, i) => {
    const taken = escalated >= next || i === points.length - 1;
    if (taken) next = (Math.floor((20 * escalated) / n) + 1) * (n / 20);
    return taken;
  });
}

function render({ metric, threshold, escalated, accuracy, confidence, guarantee, curve: points }: Calibration): string {
  const percent = (share: number) => `${(100 * share).toFixed(2).padStart(6)} %`;
  const sure = `${Number((100 * confidence).toPrecision(12))} %`;
  const rows = points.map(
    (p) =>
      `${p.threshold.toFixed(3).padEnd(11)}${percent(p.escalated).padEnd(11)}${percent(p.accuracy.value)}  ${percent(p.accuracy.low)} to ${percent(p.accuracy.high)}\n`,
  );
  return [
    `threshold  escalated   accuracy  ${sure} interval\n`,
    ...rows,
    `\nchosen: ${metric} below ${threshold}, ${percent(escalated.value).trim()} escalated, ${percent(accuracy.value).trim()} right\n`,
    `with ${sure} confidence: ${guarantee}\n`,
  ].join('');
}
