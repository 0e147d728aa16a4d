import { randomUUID } from 'node:crypto';
import { trace } from '@opentelemetry/api';
import type { Bundle } from '../../shared/bundle/load.ts';
import type { PictureRule } from '../../shared/bundle/model.ts';
import type { DecodedPicture } from '../../shared/imaging/codec.ts';
import type { EdgeMetrics } from '../../shared/observe/edge-metrics.ts';
import { ATTRIBUTES } from '../../shared/observe/names.ts';
import { type CallersTrace, inSpan, SpanKind, traceIdOf } from '../../shared/observe/telemetry.ts';
import { topK } from '../../shared/policy/probabilities.ts';
import type { Backlog } from '../../shared/request/backlog.ts';
import { Deadline, elapsed, unlessAborted } from '../../shared/request/deadline.ts';
import { AppError } from '../../shared/request/errors.ts';
import type { Damage } from '../../shared/wire/damage.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import type { Answer, Ranked } from './answer.ts';
import type { AnswerCache } from './cache.ts';
import type { Experts } from './experts/experts.ts';
import type { PreparedStrategy } from './strategies/prepare.ts';
import type { Models, Outcome } from './strategies/strategy.ts';

export interface ClassifyOptions {
  /** At least 1. */
  topK: number;
  deadlineMs: number;
  strategy: string;
  /** The answer also lists the generalist's own labels. */
  explain?: boolean;
  /** Whether a picture with missing or broken parts is answered or refused. */
  damaged: 'accept' | 'refuse';
  /** Aborts, with an AppError, when the caller has gone. */
  caller: AbortSignal;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
  /** The strategy's own parameters and the common ones. */
  [parameter: string]: unknown;
}

export interface ClassifyDependencies {
  bundle: Bundle;
  strategies: Map<string, PreparedStrategy>;
  here: Models;
  there: Experts;
  cache: AnswerCache;
  metrics: EdgeMetrics;
  /** Requests that are being decoded or run by the generalist. */
  backlog: Backlog;
  /** A picture -> pixels by a rule. Rejects with AppError. */
  decode(picture: Uint8Array | Pixels, rule: PictureRule, deadline: Deadline): Promise<DecodedPicture>;
}

/**
 * A picture (a file's bytes, or pixels) -> answer, within one deadline. Only a generalist that cannot answer in time is
 * an error (`deadline-exceeded`); an expert's failure is not. Throws AppError for bad pictures and under overload.
 */
export async function classify(
  dependencies: ClassifyDependencies,
  picture: Uint8Array | Pixels,
  options: ClassifyOptions,
): Promise<Answer> {
  const begun = performance.now();
  const { bundle, cache, metrics } = dependencies;
  const { labels } = bundle.manifest;
  const strategy = dependencies.strategies.get(options.strategy) as PreparedStrategy;
  const query = strategy.settle(options);
  using deadline = new Deadline(options.deadlineMs, options.caller);
  const id = randomUUID();

  const [bytes, size] = 'pixels' in picture ? [picture.pixels, `${picture.width} x ${picture.height}`] : [picture, ''];
  const key = cache.key(bytes, `${options.strategy} ${JSON.stringify(query)} ${size}`);
  const known = cache.get(key);
  metrics.cache.inc({ result: known ? 'hit' : 'miss' });
  let decodeMs = 0;
  let outcome: Outcome;
  let damage: Damage | undefined;
  if (known) {
    damage = known.damage;
    reportDamage(damage, options, metrics);
    const { reason } = known.decision;
    const decision = { ...known.decision, reason: 'cache-hit', firstReason: reason };
    outcome = { ...known, decision, timings: { edgeMs: 0, encodeMs: 0 }, hops: [] };
  } else {
    using work = dependencies.backlog.begin();
    const view = (rule: PictureRule) => unlessAborted(deadline.signal, dependencies.decode(picture, rule, deadline));
    const pixels = await inSpan('decode', SpanKind.INTERNAL, () => view(strategy.rule));
    decodeMs = performance.now() - begun;
    damage = pixels.damage;
    reportDamage(damage, options, metrics);
    const file = 'pixels' in picture ? {} : { picture };
    const { caller, trace } = options;
    const task = { pixels, ...file, view, requestId: id, deadline, caller, trace, query, work };
    outcome = await strategy.run(dependencies.here, dependencies.there, task);
    if (outcome.degraded === null) cache.set(key, { ...outcome, damage });
  }

  const ranked = rank(outcome.probabilities, labels, options.topK);
  const [best] = ranked as [Ranked];
  const totalMs = elapsed(begun);
  setImmediate(observe, metrics, outcome, { decodeMs, totalMs, ...best }); // off the caller's path
  const [decisive] = outcome.hops;
  return {
    id,
    ...best,
    topK: ranked,
    ...(options.explain &&
      outcome.edgeProbabilities && { edge: { topK: rank(outcome.edgeProbabilities, labels, options.topK) } }),
    route: outcome.route,
    expert: outcome.answeredBy,
    degraded: outcome.degraded,
    decision: outcome.decision,
    timings: {
      decodeMs: round(decodeMs, 3),
      edgeMs: round(outcome.timings.edgeMs, 3),
      encodeMs: outcome.timings.encodeMs,
      expertRoundTripMs: decisive?.ms ?? 0,
      expertMs: decisive?.computeMs ?? 0,
      totalMs,
    },
    bytesSent: outcome.hops.reduce((sum, { bytes }) => sum + bytes, 0),
    encoding: outcome.hops.find(({ encoding }) => encoding !== null)?.encoding ?? null,
    hops: outcome.hops,
    picture: damage ? { damaged: true, reason: damage } : { damaged: false },
    traceId: traceIdOf(id, options.trace),
  };
}

/**
 * Reports a damaged picture in the trace and the metrics. Throws AppError `damaged-image` where damage is not accepted.
 */
function reportDamage(damage: Damage | undefined, { damaged }: ClassifyOptions, metrics: EdgeMetrics): void {
  if (damage === undefined) return;
  trace.getActiveSpan()?.setAttributes({ [ATTRIBUTES.pictureDamaged]: true, [ATTRIBUTES.pictureDamage]: damage });
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
