import type { Bundle } from '../../../shared/bundle/load.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import type { Inference } from '../../../shared/inference/job.ts';
import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import type { CallersTrace } from '../../../shared/observe/telemetry.ts';
import type { Candidate, Metric } from '../../../shared/policy/gate.ts';
import type { Deadline } from '../../../shared/request/deadline.ts';
import type { Work } from '../../../shared/request/pace.ts';
import type { RawImage } from '../../../shared/wire/expert-protocol.ts';
import type { Arrivals } from '../experts/arrivals.ts';
import type { Degraded } from '../experts/ask.ts';
import type { ExpertHealth } from '../experts/circuit.ts';
import type { HedgeBudget } from '../experts/hedge.ts';
import type { Journal } from '../experts/journal.ts';
import type { Payload } from '../experts/payload.ts';

/** A way of sharing the work between this device and others; `strategies.ts` lists them. */
export type Strategy = (tools: Tools, task: Task) => Promise<Outcome>;

/** What a strategy may use. */
export interface Tools {
  bundle: Bundle;
  bus: Bus;
  /** A picture of the models' size, and perhaps the file that it was decoded from -> what travels to an expert. */
  pack(image: RawImage, original: Uint8Array | undefined): Promise<Payload>;
  /** The generalist on this device, off the event loop. */
  generalist(image: RawImage, deadline: Deadline): Promise<Inference>;
  /** What is known of an expert's presence and speed. */
  health(expert: string): ExpertHealth;
  /** The runner-up of the routing is asked as well when the first choice fails or is slow. */
  secondChoice: boolean;
  hedges: HedgeBudget;
  /** Who starts beside this edge and is waited for. */
  arrivals: Arrivals;
  journal: Journal;
  metrics: EdgeMetrics;
  /** This device has too much to do already: whoever would ask an expert answers by himself. */
  sheds(deadline: Deadline): boolean;
}

export interface Task {
  image: RawImage;
  /** The file that the image was decoded from, if there was one. */
  original?: Uint8Array;
  requestId: string;
  deadline: Deadline;
  /** Aborts when the caller has gone; the deadline's own signal does so, too. */
  caller: AbortSignal;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
  threshold: number;
  /** What this device has to compute for it; a strategy says when that is done, before it waits for others. */
  work: Work;
}

export type Reason = 'confident' | 'low-confidence' | 'never-escalates' | 'always-escalates' | 'cache-hit';

export interface Decision {
  strategy: string;
  metric: Metric;
  value: number;
  threshold: number;
  candidates: Candidate[];
  reason: Reason;
  /** Of the answer in the cache, when `reason` is that it came from there. */
  firstReason?: Reason;
  policyVersion: string;
}

export interface Outcome {
  /** Calibrated, one per label. */
  probabilities: Float64Array;
  /** The generalist's own, before any expert. */
  edgeProbabilities: Float64Array;
  route: 'edge' | 'expert';
  expert: string | null;
  degraded: Degraded | null;
  decision: Decision;
  timings: { edgeMs: number; encodeMs: number; expertRoundTripMs: number; expertMs: number };
  bytesSent: number;
  /** How the picture travelled; null if it did not. */
  encoding: string | null;
}
