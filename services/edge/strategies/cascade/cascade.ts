import type { Attributes } from '@opentelemetry/api';
import { inSpan, SpanKind } from '../../../../shared/observe/telemetry.ts';
import { type Candidate, decideRouting } from '../../../../shared/policy/gate.ts';
import { softmax, topK } from '../../../../shared/policy/probabilities.ts';
import { createParcel } from '../../experts/consult.ts';
import type { Decision, Outcome, Reason, Strategy, Task, Tools } from '../strategy.ts';
import { escalate } from './escalate.ts';

/** Says from the generalist's confidence whether its answer stands; only two of the reasons escalate. */
type Gate = (confidence: number, threshold: number) => Reason;
const escalating: Reason[] = ['low-confidence', 'always-escalates'];
const ALMOST_SURE = 1 - Number.EPSILON;

/**
 * Ask the Expert (arXiv:2602.13334): the generalist answers; if the gate says so, an expert is asked, the best by the
 * manifest's scoring if it answers, and both outputs are merged. Whatever fails beyond the generalist degrades to it.
 */
export function cascade(strategy: string, gate: Gate): Strategy {
  return async (tools, task) => {
    const begun = performance.now();
    const parcel = createParcel(tools, task);
    // Whatever the generalist says, an expert will be asked: the picture is packed meanwhile.
    const settled = escalating.includes(gate(ALMOST_SURE, task.threshold));
    if (settled && tools.bus.connected && !tools.sheds(task.deadline)) parcel.open().catch(() => {});
    const { outputs } = await inSpan('generalist', SpanKind.INTERNAL, () =>
      tools.generalist(task.image, task.deadline),
    );
    task.work.done();
    const edgeMs = performance.now() - begun;
    const { generalist } = tools.bundle.manifest;
    const probabilities = softmax(outputs.logits as Float32Array, generalist.temperature);

    return inSpan('route', SpanKind.INTERNAL, async (span) => {
      const decision = decide(strategy, gate, probabilities, tools, task);
      const expert = escalating.includes(decision.reason) ? (decision.candidates[0] as Candidate).expert : null;
      if (span.isRecording()) span.setAttributes(describe(decision, expert, probabilities, tools));
      const edge: Outcome = {
        probabilities,
        edgeProbabilities: probabilities,
        route: 'edge',
        expert: null,
        degraded: null,
        decision,
        timings: { edgeMs, encodeMs: 0, expertRoundTripMs: 0, expertMs: 0 },
        bytesSent: 0,
        encoding: null,
      };
      if (expert === null) return edge;
      const outcome = await escalate(edge, parcel, tools, task);
      span.setAttribute('routing.answered_by', outcome.expert ?? 'generalist');
      if (outcome.degraded !== null) span.setAttribute('routing.degraded', outcome.degraded);
      return outcome;
    });
  };
}

function decide(strategy: string, gate: Gate, probabilities: Float64Array, tools: Tools, task: Task): Decision {
  const { manifest, policyVersion } = tools.bundle;
  const { metric } = manifest.routing;
  const { threshold } = task;
  const { value, candidates } = decideRouting(probabilities, manifest);
  const reason = gate(value, threshold);
  return { strategy, metric, value, threshold, candidates, reason, policyVersion };
}

function describe(decision: Decision, expert: string | null, probabilities: Float64Array, tools: Tools): Attributes {
  const { labels, routing } = tools.bundle.manifest;
  return {
    'routing.strategy': decision.strategy,
    'routing.metric': decision.metric,
    'routing.value': decision.value,
    'routing.threshold': decision.threshold,
    'routing.top_k': topK(probabilities, routing.k).map((label) => labels[label] as string),
    'routing.candidates': decision.candidates.map((candidate) => candidate.expert),
    'routing.scores': decision.candidates.map(({ score }) => score),
    'routing.expert': expert ?? '',
    'routing.reason': decision.reason,
    'routing.policy_version': decision.policyVersion,
  };
}
