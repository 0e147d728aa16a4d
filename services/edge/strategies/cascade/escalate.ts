import type { ModelEntry } from '../../../../shared/bundle/load.ts';
import type { Candidate } from '../../../../shared/policy/gate.ts';
import { mergeLogLinear } from '../../../../shared/policy/merge.ts';
import { softmax } from '../../../../shared/policy/probabilities.ts';
import { type Consultation, consult, count, type Parcel, RESERVE_MS, stillToCome } from '../../experts/consult.ts';
import { askEither } from '../../experts/hedge.ts';
import type { Outcome, Task, Tools } from '../strategy.ts';

const DONE = new Error('answered'); // made once: an abort without a reason makes one each time, with its stack

/**
 * Asks the best expert of the generalist's decision, failing that the runner-up; the answer merged with the
 * generalist's, or that one marked `degraded`. Rejects only when the caller has gone, with the signal's reason.
 */
export async function escalate(edge: Outcome, parcel: Parcel, tools: Tools, task: Task): Promise<Outcome> {
  const [first, runnerUp] = edge.decision.candidates as [Candidate, Candidate?];
  if (tools.sheds(task.deadline)) {
    tools.metrics.escalations.inc({ expert: first.expert, outcome: 'overloaded' });
    tools.metrics.failures.inc({ reason: 'shed' });
    tools.journal.escalated('shed');
    return { ...edge, degraded: 'overloaded' };
  }
  const asked: Promise<Consultation>[] = [];
  const enough = new AbortController();
  const signal = AbortSignal.any([task.caller, enough.signal]);
  const ask = ({ expert }: Candidate) => {
    const consultation = consult(expert, parcel, tools, task, signal);
    asked.push(consultation);
    return consultation;
  };
  const second = tools.secondChoice ? runnerUp : undefined;
  const askBest = () => {
    if (!second) return ask(first);
    const slowMs = tools.health(first.expert).p95Ms;
    return askEither({ first: () => ask(first), second: () => ask(second), slowMs, budget: tools.hedges });
  };
  const choices = second ? [first.expert, second.expert] : [first.expert];
  let consultation = await askBest();
  while (stillToCome(consultation, tools)) {
    const come = await tools.arrivals.wait(choices, task.deadline.left - RESERVE_MS, signal);
    if (!come) {
      if (!task.caller.aborted) count(consultation, tools);
      break;
    }
    consultation = await askBest();
  }
  enough.abort(DONE);
  const bytesSent = (await Promise.all(asked)).reduce((sum, one) => sum + one.bytesSent, 0);
  task.caller.throwIfAborted();

  const { expert, reply, degraded, roundTripMs } = consultation;
  const expertMs = reply?.expertMs ?? 0;
  const timings = { ...edge.timings, encodeMs: parcel.encodeMs, expertRoundTripMs: roundTripMs, expertMs };
  const encoding = bytesSent > 0 ? ((await parcel.open())?.encoding ?? null) : null;
  const outcome = { ...edge, bytesSent, encoding, timings };
  tools.journal.escalated(reply === null ? (consultation.reason ?? degraded) : null);
  if (reply === null) return { ...outcome, degraded };
  const { experts, routing } = tools.bundle.manifest;
  const { temperature } = experts.find(({ id }) => id === expert) as ModelEntry;
  const answer = softmax(reply.logits, temperature);
  const probabilities = mergeLogLinear(edge.edgeProbabilities, answer, routing.merge);
  return { ...outcome, probabilities, route: 'expert', expert };
}
