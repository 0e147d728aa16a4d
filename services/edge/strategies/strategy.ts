import { z } from 'zod';
import type { Bundle } from '../../../shared/bundle/load.ts';
import type { PictureRule } from '../../../shared/bundle/model.ts';
import type { SettingsKind } from '../../../shared/bundle/strategies.ts';
import type { Inference } from '../../../shared/inference/job.ts';
import { ATTRIBUTES } from '../../../shared/observe/names.ts';
import type { Work } from '../../../shared/request/backlog.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';
import type { Tensors } from '../../../shared/wire/tensor.ts';
import type { Degraded } from '../experts/ask.ts';
import type { Experts, Hop } from '../experts/experts.ts';
import type { RequestContext } from '../experts/request-context.ts';
import { inTrace } from './attributes.ts';

/** Fields that every decision has. */
export const decisionSchema = z.object({
  strategy: inTrace(z.string(), ATTRIBUTES.strategy),
  reason: inTrace(
    z.string().describe('why an expert was or was not asked; `cache-hit`: the answer is an earlier one'),
    ATTRIBUTES.reason,
  ),
  firstReason: z.string().optional().describe('with `cache-hit`: the reason of that earlier answer'),
  policyVersion: inTrace(z.string(), ATTRIBUTES.policyVersion),
});

export type Decision = z.infer<typeof decisionSchema>;

/** A way to share the work between this device and others: one folder, and the two lines that `list.ts` tells of. */
export interface Strategy<Settings = unknown, D extends Decision = Decision> {
  /** What `kind` in the manifest's `strategies` names. */
  kind: string;
  settings: SettingsKind<Settings>;
  /** Its own parameters of `/classify`; another strategy's may have the same names. None is required. */
  query: z.ZodRawShape;
  /** What the answer, its description and the trace say of a decision. */
  decision: z.ZodType<D> & z.ZodObject;
  /** Once, at the start. Throws BundleError: a mistake ends the start, not a request. */
  prepare(setup: Setup<Settings>): Prepared<D>;
}

export interface Setup<Settings> {
  /** What callers ask for. */
  name: string;
  settings: Settings;
  bundle: Bundle;
}

/** A strategy with the settings of a bundle. */
export interface Prepared<D extends Decision = Decision> {
  /** How a picture is decoded before `run`. */
  rule: PictureRule;
  /** What the answer depends on of its own parameters, with defaults filled in. It is part of the cache's key. */
  settle(query: Record<string, unknown>): Record<string, unknown>;
  run(here: Models, there: Experts, task: Task): Promise<Outcome<D>>;
}

/** The models of this device. */
export interface Models {
  /** Runs off the event loop. Pixels must be a square by the model's rule. */
  run(model: string, input: Pixels | Tensors, deadline: Deadline): Promise<Inference>;
}

export interface Task extends RequestContext {
  /** The picture by the strategy's rule. */
  pixels: Pixels;
  /** The file that the pixels were decoded from, if there was one. */
  picture?: Uint8Array;
  /** The same picture by another rule. */
  view(rule: PictureRule): Promise<Pixels>;
  /** As `settle` gave it. */
  query: Record<string, unknown>;
  /** The request's part of this device's backlog. A strategy calls `done` before it waits for others. */
  work: Work;
}

export interface Outcome<D extends Decision = Decision> {
  /** Calibrated, one per label. */
  probabilities: Float64Array;
  /** This device's own, before any other output went in; null: it has none. */
  edgeProbabilities: Float64Array | null;
  /** The remote model whose output went in; null: none, or several. */
  answeredBy: string | null;
  /** `expert` if any remote output went in. */
  route: 'edge' | 'expert';
  degraded: Degraded | null;
  decision: D;
  timings: { edgeMs: number; encodeMs: number };
  /** The decisive one first. */
  hops: Hop[];
}
