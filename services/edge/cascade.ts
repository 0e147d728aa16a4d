import { softmax, topK } from '../../shared/probabilities.ts';
import { inSpan, SpanKind } from '../../shared/telemetry.ts';
import { askExpert } from './experts.ts';
import { metrics, rankExperts } from './gate.ts';
import { mergeLogLinear } from './merge.ts';
import type { Decision, Outcome, Reason, Strategy } from './strategy.ts';

/** Answering must still be possible when the expert's time is up. */
const RESERVE_MS = 5;

/**
 * Ask the Expert (arXiv:2602.13334): the generalist answers; if the gate says so, the one expert with the greatest
 * top-k probability mass is asked, and both outputs are merged. Whatever fails beyond the generalist degrades to it.
 */
export function cascade(strategy: string, gate: (value: number, threshold: number) => Reason): Strategy {
  return async (tools, task) => {
    const { manifest, policyVersion } = tools.bundle;
    const { routing, generalist } = manifest;
    const begun = performance.now();
    const { outputs } = await inSpan('generalist', SpanKind.INTERNAL, () => tools.generalist(task.image, task.signal));
    const edgeMs = performance.now() - begun;
    const edgeProbabilities = softmax(outputs.logits as Float32Array, generalist.temperature);

    return inSpan('route', SpanKind.INTERNAL, async (span) => {
      const value = metrics[routing.metric](edgeProbabilities);
      const candidates = rankExperts(edgeProbabilities, routing.k, manifest.experts);
      const wanted = gate(value, task.threshold);
      const escalate = wanted === 'low-confidence' || wanted === 'always-escalates';
      const reason = escalate && candidates.length === 0 ? 'no-candidate' : wanted;
      const chosen = escalate ? (candidates[0]?.expert ?? null) : null;
      const { metric } = routing;
      const { threshold } = task;
      const decision: Decision = { strategy, metric, value, threshold, candidates, reason, policyVersion };
      span.setAttributes({
        'routing.strategy': strategy,
        'routing.metric': metric,
        'routing.value': value,
        'routing.threshold': threshold,
        'routing.top_k': topK(edgeProbabilities, routing.k).map((label) => manifest.labels[label] as string),
        'routing.candidates': candidates.map(({ expert }) => expert),
        'routing.scores': candidates.map(({ score }) => score),
        'routing.expert': chosen ?? '',
        'routing.reason': reason,
        'routing.policy_version': policyVersion,
      });
      const edge: Outcome = {
        probabilities: edgeProbabilities,
        edgeProbabilities,
        route: 'edge',
        expert: null,
        degraded: null,
        decision,
        timings: { edgeMs, expertRoundTripMs: 0, expertMs: 0 },
        bytesSent: 0,
      };
      if (chosen === null) return edge;

      const answer = await askExpert(tools.bus, {
        expert: chosen,
        image: task.image,
        requestId: task.requestId,
        timeoutMs: Math.max(1, task.deadline.left - RESERVE_MS),
        labels: manifest.labels.length,
        signal: task.signal,
      });
      const timings = { edgeMs, expertRoundTripMs: answer.roundTripMs, expertMs: answer.reply?.expertMs ?? 0 };
      const { bytesSent, degraded } = answer;
      if (answer.reply === null) {
        span.setAttribute('routing.degraded', answer.degraded);
        return { ...edge, degraded, timings, bytesSent };
      }
      const entry = manifest.experts.find(({ id }) => id === chosen) as (typeof manifest.experts)[number];
      const expertProbabilities = softmax(answer.reply.logits, entry.temperature);
      const probabilities = mergeLogLinear(edgeProbabilities, expertProbabilities, routing.merge);
      return { ...edge, probabilities, route: 'expert', expert: chosen, timings, bytesSent };
    });
  };
}
