import type { PictureRule } from '../../../../shared/bundle/model.ts';
import { type CascadeView, type Member, viewCascade } from '../../../../shared/bundle/view.ts';
import { ATTRIBUTES } from '../../../../shared/observe/names.ts';
import { inSpan, SpanKind } from '../../../../shared/observe/telemetry.ts';
import { type Judgement, judge, mergeExpert } from '../../../../shared/policy/cascade.ts';
import { topK } from '../../../../shared/policy/probabilities.ts';
import type { Experts } from '../../experts/experts.ts';
import type { Parcel } from '../../experts/parcel.ts';
import { inRouteSpan } from '../route-span.ts';
import type { Models, Outcome, Prepared, Setup, Task } from '../strategy.ts';
import { type CascadeDecision, cascadeDecision, type Reason } from './decision.ts';

/** Decides whether the generalist's answer stands. */
export interface Gate {
  decide(value: number, threshold: number): Reason;
  /** An expert will be asked, whatever the generalist says. */
  always(threshold: number): boolean;
}

const escalating: string[] = ['low-confidence', 'always-escalates'] satisfies Reason[];

/**
 * Ask the Expert (arXiv:2602.13334): the generalist answers. If the gate says so, the best expert by the manifest's
 * scoring is asked, and both outputs are merged. If that fails, the generalist's answer stands, marked `degraded`.
 */
export function prepareCascade({ name, bundle }: Setup<unknown>, of: string, gate: Gate): Prepared<CascadeDecision> {
  const view = viewCascade(bundle.manifest, of);
  const { generalist, experts, routing } = view;
  const alike = new Set(experts.map(({ rule }) => viewOf(rule))).size === 1;
  const { labels } = bundle.manifest;

  function decide({ value, candidates }: Judgement, threshold: number): CascadeDecision {
    const reason = gate.decide(value, threshold);
    const metric = view.gate.measure;
    return { strategy: name, metric, value, threshold, candidates, reason, policyVersion: bundle.policyVersion };
  }

  const describe = (expert: string, probabilities: Float64Array) => ({
    [ATTRIBUTES.topK]: topK(probabilities, routing.k).map((label) => labels[label] as string),
    [ATTRIBUTES.expert]: expert,
  });

  return {
    rule: generalist.rule,
    settle: ({ threshold = view.gate.threshold }) => ({ threshold }),
    async run(here, there, task) {
      const begun = performance.now();
      const threshold = task.query.threshold as number;
      const parcelFor = packForEach(view, there, task);
      // An expert will be asked in any case: where all get the same, it is encoded meanwhile.
      if (alike && gate.always(threshold) && there.reachable && !there.sheds(task)) {
        parcelFor(experts[0]?.id as string)
          .open()
          .catch(() => {});
      }
      const judgement = judge(view, await askGeneralist(generalist.id, here, task));
      const probabilities = judgement.edge;
      const edgeMs = performance.now() - begun;

      const decision = decide(judgement, threshold);
      const wanted = escalating.includes(decision.reason);
      const edge: Outcome<CascadeDecision> = {
        probabilities,
        edgeProbabilities: probabilities,
        answeredBy: null,
        route: 'edge',
        degraded: null,
        decision,
        timings: { edgeMs, encodeMs: 0 },
        hops: [],
      };
      const follow = async () => (wanted ? escalate(view, edge, parcelFor, there, task) : edge);
      const first = wanted ? (decision.candidates[0]?.expert ?? '') : '';
      return inRouteSpan(cascadeDecision, decision, follow, () => describe(first, probabilities));
    },
  };
}

/** What distinguishes the pixels that two models want of a picture. */
function viewOf({ side, fit, kernel, background, range }: PictureRule): string {
  return JSON.stringify([side, fit, kernel, background, range]);
}

/** Each expert's payload, made once for all that want the same pixels. Those of the generalist are there already. */
function packForEach({ generalist, experts, routing }: CascadeView, there: Experts, task: Task) {
  const parcels = new Map<string, Parcel>();
  const own = viewOf(generalist.rule);
  return (expert: string): Parcel => {
    const { rule } = experts.find(({ id }) => id === expert) as Member;
    const view = viewOf(rule);
    const pixels = view === own ? task.pixels : () => task.view(rule);
    const parcel = parcels.get(view) ?? there.pack(pixels, task.picture, routing.encoding, task);
    parcels.set(view, parcel);
    return parcel;
  };
}

async function askGeneralist(generalist: string, here: Models, task: Task): Promise<Float32Array> {
  const run = () => here.run(generalist, task.pixels, task.deadline);
  const { outputs } = await inSpan('generalist', SpanKind.INTERNAL, run);
  task.work.done();
  return outputs.logits?.data as Float32Array;
}

/** The best expert's answer merged with the generalist's; or the generalist's, marked `degraded`. */
async function escalate(
  view: CascadeView,
  edge: Outcome<CascadeDecision>,
  parcelFor: (expert: string) => Parcel,
  there: Experts,
  task: Task,
): Promise<Outcome<CascadeDecision>> {
  const [first, runnerUp] = edge.decision.candidates.map(({ expert }) => expert) as [string, string?];
  const { outputs, answeredBy, degraded, hops } = await there.ask([first, runnerUp], parcelFor, task);
  const { encodeMs } = parcelFor(answeredBy ?? first);
  const timings = { ...edge.timings, encodeMs: degraded === 'overloaded' && hops.length === 0 ? 0 : encodeMs };
  if (outputs === null || answeredBy === null) return { ...edge, timings, hops, degraded };
  const probabilities = mergeExpert(view, edge.probabilities, answeredBy, outputs.logits?.data as Float32Array);
  return { ...edge, probabilities, route: 'expert', answeredBy, timings, hops };
}
