import { availableParallelism } from 'node:os';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { createLog } from '../../shared/observe/log.ts';
import { isRight } from '../../shared/policy/replay.ts';
import { Deadline } from '../../shared/request/deadline.ts';
import type { Config } from '../../shared/settings/settings.ts';
import { type Outcome, runStrategy, startSystem } from '../local/api.ts';
import { evaluationNames } from './evaluation-names.ts';
import { type Labelled, readLabelled } from './labelled.ts';
import { print } from './output.ts';
import { type Progress, showProgress } from './progress.ts';
import { UsageError } from './usage.ts';

type System = Awaited<ReturnType<typeof startSystem>>;

/** Enough to keep the models busy, few enough for every queue. */
const CLIENTS = Math.min(32, 2 * availableParallelism());

export interface EvalOptions {
  data: string;
  strategy?: string;
  limit?: string;
  json?: true;
}

interface Evaluation {
  n: number;
  strategy: string;
  accuracy: number;
  /** Share of the pictures that an expert answered. */
  escalated: number;
  /** The generalist alone, on all pictures. */
  edgeAccuracy: number;
  /** Accuracy on the escalated pictures: the generalist's, and the answer's. Null if none was escalated. */
  escalatedEdgeAccuracy: number | null;
  escalatedAccuracy: number | null;
  bytesPerEscalation: number | null;
  threshold: number;
}

/** Prints the figures of one strategy, or a table of all. Throws UsageError, InputError and OutputError. */
export async function evaluate(options: EvalOptions, config: Config): Promise<void> {
  const limit = Number(options.limit ?? Number.POSITIVE_INFINITY);
  if (!(limit >= 1)) throw new UsageError(`--limit ${options.limit} is not a positive number`);
  const names = options.strategy !== undefined ? [options.strategy] : options.json ? ['ask'] : evaluationNames;
  const { manifest } = await loadBundle(config.ASK_MODELS_DIR, config.ASK_MANIFEST_KEY);
  const pictures = await readLabelled(options.data, manifest, { limit, maxPixels: config.ASK_MAX_PIXELS });
  const settings = { ...config, HOST: '127.0.0.1', PORT: 0, ASK_API_KEYS_FILE: undefined };
  // A runner-up asked because the machine was slow would answer for the routed expert.
  const system = await startSystem(settings, createLog('error', 'eval'), { near: false, hedges: false });
  try {
    using progress = showProgress(names.length * pictures.length, 'answers');
    const results = [];
    for (const name of names) results.push(await measure(system, name, pictures, progress));
    progress.hide();
    await print(options.json ? `${JSON.stringify(results[0])}\n` : table(results));
  } finally {
    await system.stop();
  }
}

async function measure(system: System, name: string, pictures: Labelled[], progress: Progress): Promise<Evaluation> {
  const strategy = name === 'oracle' ? 'expert' : name;
  const outcomes = await runAll(system, strategy, pictures, progress);
  const degraded = outcomes.find((outcome) => outcome.degraded !== null);
  if (degraded) throw new Error(`an answer was degraded (${degraded.degraded}); the figures would not be the models'`);
  const right = (probabilities: Float64Array, i: number) => isRight(probabilities, pictures[i]?.label as number);
  const edge = outcomes.map(({ edgeProbabilities: own }, i) => own !== null && right(own, i));
  const final = outcomes.map(
    (outcome, i) => right(outcome.probabilities, i) || (name === 'oracle' && edge[i] === true),
  );
  const asked = outcomes.map((outcome) => outcome.route === 'expert');
  const escalations = asked.filter(Boolean).length;
  const among = (flags: boolean[]) => (escalations === 0 ? null : mean(flags.filter((_, i) => asked[i])));
  const bytes = outcomes.flatMap(({ hops }) => hops).reduce((sum, hop) => sum + hop.bytes, 0);
  return {
    n: pictures.length,
    strategy: name,
    accuracy: mean(final),
    escalated: mean(asked),
    edgeAccuracy: mean(edge),
    escalatedEdgeAccuracy: among(edge),
    escalatedAccuracy: among(final),
    bytesPerEscalation: escalations === 0 ? null : Math.round(bytes / escalations),
    threshold: viewCascade(system.dependencies.bundle.manifest).gate.threshold,
  };
}

/** Runs as many pictures at a time as keep the models busy. Outcomes are in the order of the pictures. */
async function runAll(system: System, strategy: string, pictures: Labelled[], progress: Progress): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const caller = new AbortController().signal;
  let next = 0;
  async function work(): Promise<void> {
    for (let i = next++; i < pictures.length; i = next++) {
      const { pixels, picture } = await (pictures[i] as Labelled).load();
      using deadline = new Deadline(60_000);
      outcomes[i] = await runStrategy(system, strategy, { pixels, picture, requestId: String(i), deadline, caller });
      progress.step();
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, work));
  return outcomes;
}

function mean(flags: boolean[]): number {
  return Number((flags.filter(Boolean).length / flags.length).toFixed(4));
}

function table(results: Evaluation[]): string {
  const percent = (share: number | null) => (share === null ? '-' : `${(100 * share).toFixed(2)} %`);
  const rows = results.map((r) => [
    r.strategy,
    percent(r.accuracy),
    percent(r.escalated),
    percent(r.escalatedEdgeAccuracy),
    percent(r.escalatedAccuracy),
    r.bytesPerEscalation === null ? '-' : String(r.bytesPerEscalation),
  ]);
  const head = ['strategy', 'accuracy', 'escalated', 'there: edge', 'there: answer', 'bytes each'];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] as string).length)));
  const line = (cells: string[]) =>
    `${cells
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join('  ')
      .trimEnd()}\n`;
  const { n, edgeAccuracy, threshold } = results[0] as Evaluation;
  const summary = `${n} pictures, generalist ${percent(edgeAccuracy)}, threshold ${threshold}\n`;
  return [summary, line(head), ...rows.map(line)].join('');
}
