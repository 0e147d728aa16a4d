import type { Degraded, ExpertAnswer } from './ask.ts';

/** Why an expert is not asked just now. `probe`: a copy of the question is due that nobody waits for. */
export interface Obstacle {
  degraded: Extract<Degraded, 'no-expert' | 'circuit-open'>;
  probe: boolean;
}

/** `state` is what it is from now on, as far as anybody knows. */
export interface CircuitChange {
  state: 'closed' | 'open' | 'absent';
  /** What the expert did, e.g. `timeout`. */
  reason: string;
  degraded: Degraded | null;
}

/**
 * A circuit breaker for one expert, and how long it takes to answer. Absence is told at once and believed at once;
 * silence and nonsense are after a few in a row. From then on nobody waits for that expert: copies of questions are
 * sent as probes until one is answered in the time that callers had. If probes are answered later than that, it is
 * asked for those who can wait so long. Old news of absence are forgotten, for finding out costs little; of silence
 * they are not.
 */
export interface ExpertHealth {
  /** Null: ask it. `waitMs`: how long the answer would be waited for at most. */
  obstacle(waitMs: number): Obstacle | null;
  /** What came of a question; `waitedMs`: how long the answer was waited for at most. */
  record(answer: ExpertAnswer, waitedMs: number): void;
  /** What came of the probe that was due; null: it could not be sent. */
  probed(answer: ExpertAnswer | null): void;
  /** 95th percentile of its last answers' round trips, once there are enough of them. */
  readonly p95Ms: number | undefined;
  readonly state: 'closed' | 'open' | 'absent';
}

const FAILURES = 3; // in a row
const FORGOTTEN_MS = 5000;
const PATIENCE_MS = 1000; // who waits so long has waited long enough for any expert
const PROBE_MS = 250; // until the first probe; doubled after each that is not answered
const PROBE_MOST_MS = 1000;
const LATE_MARGIN = 1.2; // one that answered late may take so much longer the next time
const SAMPLES = 64;
const ENOUGH = 20;

/** Of a picture that cannot be taken, the expert is not to blame; so many in a row count as one failure. */
const REFUSALS = 20;
const isPictures = (answer: ExpertAnswer) => answer.degraded !== null && answer.cause === 'picture';

/** `changed` is told once of each change, except that old news are forgotten. */
export function createExpertHealth(
  now: () => number = () => performance.now(),
  changed: (change: CircuitChange) => void = () => {},
): ExpertHealth {
  const roundTrips: number[] = [];
  let oldest = 0;
  let failures = 0;
  let refusals = 0; // in a row
  let shut: { degraded: Obstacle['degraded']; until: number; pauseMs: number } | null = null;
  let probing = false;
  let told: CircuitChange['state'] = 'closed';
  /**
   * What the caller allowed who last waited in vain, or while it is shut the most hurried of them: a probe answered
   * later than that is of no use to them.
   */
  let allowedMs = Number.POSITIVE_INFINITY;
  /** What it took when it was last late by that. */
  let lateMs = Number.POSITIVE_INFINITY;

  function answered(roundTripMs: number): void {
    roundTrips[oldest] = roundTripMs;
    oldest = (oldest + 1) % SAMPLES;
  }

  function percentile(): number | undefined {
    if (roundTrips.length < ENOUGH) return undefined;
    const sorted = roundTrips.toSorted((a, b) => a - b);
    return sorted[Math.floor(0.95 * sorted.length)];
  }

  /** Callers in a hurry are no fault of the expert. */
  function wasFair(waitedMs: number): boolean {
    const usual = percentile();
    return waitedMs >= (usual === undefined ? 250 : Math.min(PATIENCE_MS, Math.max(100, 3 * usual)));
  }

  function tell(state: CircuitChange['state'], { degraded, ...answer }: ExpertAnswer, reason?: string): void {
    if (state === told) return;
    told = state;
    const cause = answer.reply === null ? answer.reason : undefined;
    changed({ state, degraded, reason: reason ?? cause ?? degraded ?? 'answered' });
  }

  function shutFor(degraded: Obstacle['degraded'], pauseMs: number, answer: ExpertAnswer, reason?: string): void {
    shut = { degraded, until: now() + pauseMs, pauseMs };
    lateMs = Number.POSITIVE_INFINITY;
    tell(degraded === 'no-expert' ? 'absent' : 'open', answer, reason);
  }

  function open(answer: ExpertAnswer): void {
    failures = 0;
    shut = null;
    allowedMs = Number.POSITIVE_INFINITY;
    tell('closed', answer);
  }

  /** It lives, but answers later than those could wait for whose sake it is shut: true. */
  function tooLate(answer: ExpertAnswer): boolean {
    const { degraded, roundTripMs } = answer;
    if (shut === null || degraded !== null || roundTripMs <= allowedMs) return false;
    shutFor('circuit-open', PROBE_MS, answer, 'late');
    failures = 0;
    lateMs = roundTripMs;
    return true;
  }

  return {
    obstacle(waitMs) {
      if (shut === null || waitMs > LATE_MARGIN * lateMs) return null;
      const { degraded, until } = shut;
      if (degraded === 'no-expert' && now() >= until + FORGOTTEN_MS) {
        shut = null;
        return null;
      }
      const probe = now() >= until && !probing;
      probing ||= probe;
      return { degraded, probe };
    },
    record(answer, waitedMs) {
      const { degraded, roundTripMs } = answer;
      refusals = isPictures(answer) ? (refusals + 1) % REFUSALS : 0;
      if (refusals > 0) return;
      if (degraded === null) answered(roundTripMs);
      if (tooLate(answer)) return;
      if (degraded === null || degraded === 'overloaded') return open(answer);
      if (degraded === 'no-expert') return shutFor(degraded, PROBE_MS, answer);
      if (degraded === 'timeout') {
        if (!wasFair(waitedMs) && waitedMs <= LATE_MARGIN * lateMs) return;
        allowedMs = shut === null ? waitedMs : Math.min(allowedMs, waitedMs);
      }
      failures += 1;
      const asked = shut === null || lateMs < Number.POSITIVE_INFINITY;
      if (failures >= FAILURES && asked) shutFor('circuit-open', PROBE_MS, answer);
    },
    probed(answer) {
      probing = false;
      if (answer === null) return;
      if (isPictures(answer)) {
        if (shut) shut.until = now() + shut.pauseMs;
        return;
      }
      if (tooLate(answer)) return;
      const { degraded } = answer;
      if (degraded === null || degraded === 'overloaded') open(answer);
      else if (degraded === 'no-expert') shutFor(degraded, PROBE_MS, answer);
      else shutFor('circuit-open', Math.min(PROBE_MOST_MS, 2 * (shut?.pauseMs ?? PROBE_MS)), answer);
    },
    get p95Ms() {
      return percentile();
    },
    get state() {
      if (shut === null) return 'closed';
      return shut.degraded === 'no-expert' ? 'absent' : 'open';
    },
  };
}
