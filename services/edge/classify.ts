import { randomUUID } from 'node:crypto';
import { trace } from '@opentelemetry/api';
import type { Decoder } from '../../shared/imaging/decoder.ts';
import type { EdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import { type CallersTrace, inSpan, SpanKind, traceIdOf } from '../../shared/observe/telemetry.ts';
import { topK } from '../../shared/policy/probabilities.ts';
import { Deadline, elapsed, unlessAborted } from '../../shared/request/deadline.ts';
import { AppError } from '../../shared/request/errors.ts';
import type { Pace } from '../../shared/request/pace.ts';
import type { Damage } from '../../shared/wire/damage.ts';
import type { RawImage } from '../../shared/wire/expert-protocol.ts';
import type { AnswerCache } from './cache.ts';
import { type StrategyName, strategies } from './strategies/list.ts';
import type { Outcome, Tools } from './strategies/strategy.ts';

export interface ClassifyOptions {
  /** At least 1. */
  topK: number;
  deadlineMs: number;
  /** Default: the manifest's. */
  threshold?: number | undefined;
  strategy: StrategyName;
  /** The generalist's own labels are part of the answer. */
  explain?: boolean;
  /** What becomes of a picture of which a part is missing or broken. */
  damaged: 'accept' | 'refuse';
  /** Aborts, with an AppError, when the caller has gone. */
  caller: AbortSignal;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
}

export interface ClassifyDependencies extends Tools {
  cache: AnswerCache;
  /** Of decoding and the generalist together. */
  pace: Pace;
  /** A picture -> the models' square. Rejects with AppError. */
  decode: Decoder;
}

interface Ranked {
  label: string;
  index: number;
  confidence: number;
}

/** The body of a successful answer; `schemas.ts` describes it for callers. */
export interface Answer extends Ranked {
  id: string;
  topK: Ranked[];
  /** The generalist's own, before any expert. */
  edge?: { topK: Ranked[] };
  route: Outcome['route'];
  expert: string | null;
  degraded: Outcome['degraded'];
  decision: Outcome['decision'];
  timings: { decodeMs: number; totalMs: number } & Outcome['timings'];
  bytesSent: number;
  encoding: Outcome['encoding'];
  picture: { damaged: boolean; reason?: Damage };
  traceId: string;
}

/**
 * A picture, as a file's bytes or as pixels -> answer. Everything happens within one deadline; only a generalist that
 * cannot answer in time is an error (`deadline-exceeded`). Throws AppError for bad images and when too much is waiting.
 */
export async function classify(
  dependencies: ClassifyDependencies,
  picture: Uint8Array | RawImage,
  options: ClassifyOptions,
): Promise<Answer> {
  const begun = performance.now();
  const { bundle, cache, metrics } = dependencies;
  const { labels, routing } = bundle.manifest;
  const threshold = options.threshold ?? routing.threshold;
  using deadline = new Deadline(options.deadlineMs, options.caller);
  const id = randomUUID();

  const [bytes, size] = 'pixels' in picture ? [picture.pixels, `${picture.width} x ${picture.height}`] : [picture, ''];
  const key = cache.key(bytes, `${options.strategy} ${threshold} ${size}`);
  const known = cache.get(key);
  metrics.cache.inc({ result: known ? 'hit' : 'miss' });
  let decodeMs = 0;
  let outcome: Outcome;
  let damage: Damage | undefined;
  if (known) {
    damage = known.damage;
    heed(damage, options, metrics);
    const timings = { edgeMs: 0, encodeMs: 0, expertRoundTripMs: 0, expertMs: 0 };
    const decision: Outcome['decision'] = {
      ...known.decision,
      reason: 'cache-hit',
      firstReason: known.decision.reason,
    };
    outcome = { ...known, decision, timings, bytesSent: 0, encoding: null };
  } else {
    using work = dependencies.pace.begin();
    const decode = () => unlessAborted(deadline.signal, dependencies.decode(picture, deadline));
    const image = await inSpan('decode', SpanKind.INTERNAL, decode);
    decodeMs = performance.now() - begun;
    damage = image.damage;
    heed(damage, options, metrics);
    const original = 'pixels' in picture ? {} : { original: picture };
    const { caller, trace } = options;
    const task = { image, ...original, requestId: id, deadline, caller, trace, threshold, work };
    outcome = await strategies[options.strategy](dependencies, task);
    if (outcome.degraded === null) cache.set(key, { ...outcome, damage });
  }

  const ranked = rank(outcome.probabilities, labels, options.topK);
  const [best] = ranked as [Ranked];
  const totalMs = elapsed(begun);
  setImmediate(observe, metrics, outcome, { decodeMs, totalMs, ...best }); // the caller need not wait for it
  return {
    id,
    ...best,
    topK: ranked,
    ...(options.explain && { edge: { topK: rank(outcome.edgeProbabilities, labels, options.topK) } }),
    route: outcome.route,
    expert: outcome.expert,
    degraded: outcome.degraded,
    decision: outcome.decision,
    timings: {
      decodeMs: round(decodeMs, 3),
      edgeMs: round(outcome.timings.edgeMs, 3),
      encodeMs: outcome.timings.encodeMs,
      expertRoundTripMs: outcome.timings.expertRoundTripMs,
      expertMs: outcome.timings.expertMs,
      totalMs,
    },
    bytesSent: outcome.bytesSent,
    encoding: outcome.encoding,
    picture: damage ? { damaged: true, reason: damage } : { damaged: false },
    traceId: traceIdOf(id, options.trace),
  };
}

/**
 * Says in the trace and in the metrics that a picture is damaged. Throws AppError `damaged-image` if that is not
 * accepted.
 */
function heed(damage: Damage | undefined, { damaged }: ClassifyOptions, metrics: EdgeMetrics): void {
  if (damage === undefined) return;
  trace.getActiveSpan()?.setAttributes({ 'ask.picture.damaged': true, 'ask.picture.damage': damage });
  metrics.damaged.inc({ reason: damage, outcome: damaged === 'refuse' ? 'refused' : 'answered' });
  if (damaged === 'accept') return;
  throw new AppError(
    'damaged-image',
    `the picture is damaged (${damage}); send it anew, or accept it (damaged=accept)`,
  );
}

function observe(
  metrics: EdgeMetrics,
  outcome: Outcome,
  { decodeMs, totalMs, label, confidence }: { decodeMs: number; totalMs: number; label: string; confidence: number },
): void {
  const { route, degraded, decision, timings } = outcome;
  metrics.answers.inc({ strategy: decision.strategy, route, degraded: degraded ?? 'no' });
  metrics.byLabel.inc({ label });
  metrics.confidence.observe({ route }, confidence);
  metrics.duration.observe({ route }, totalMs / 1000);
  if (decision.reason === 'cache-hit') return;
  metrics.stages.observe({ stage: 'decode' }, decodeMs / 1000);
  metrics.stages.observe({ stage: 'edge' }, timings.edgeMs / 1000);
}

function rank(probabilities: Float64Array, labels: string[], count: number): Ranked[] {
  return topK(probabilities, count).map((index) => ({
    label: labels[index] as string,
    index,
    confidence: round(probabilities[index] as number, 6),
  }));
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
