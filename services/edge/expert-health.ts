import type { Degraded, ExpertAnswer } from './experts.ts';

/** Why an expert is not asked just now. `probe`: a copy of the question is due that nobody waits for. */
export interface Obstacle {
  degraded: Extract<Degraded, 'no-expert' | 'circuit-open'>;
  probe: boolean;
}

/**
 * A circuit breaker for one expert, and how long it takes to answer. Absence is told at once and believed at once;
 * silence and nonsense are after a few in a row. From then on nobody waits for that expert: copies of questions are sent
 * as probes until one is answered. Old news of absence are forgotten, for finding out costs little; of silence they are not.
 */
export interface ExpertHealth {
  /** Null: ask it. */
  obstacle(): Obstacle | null;
  /** `allowedMs`: how long the answer was waited for at most. */
  record(answer: ExpertAnswer, allowedMs: number, kind?: 'question' | 'probe'): void;
  /** 95th percentile of its last answers' round trips, once there are enough of them. */
  readonly p95Ms: number | undefined;
  readonly state: 'closed' | 'open' | 'absent';
}

const FAILURES = 3; // in a row
const ABSENCE_FORGOTTEN_MS = 5000;
const PROBE_MS = 250; // until the first probe; doubled after each that fails
const PROBE_MOST_MS = 1000;
const SAMPLES = 64;
const ENOUGH = 20;

export function createExpertHealth(now: () => number = () => performance.now()): ExpertHealth {
  const roundTrips: number[] = [];
  let oldest = 0;
  let failures = 0;
  let shut: { degraded: Obstacle['degraded']; until: number; pauseMs: number } | null = null;
  let probing = false;

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
  function wasFair(allowedMs: number): boolean {
    const usual = percentile();
    return allowedMs >= (usual === undefined ? 250 : Math.max(100, 3 * usual));
  }

  return {
    obstacle() {
      if (shut === null) return null;
      const { degraded, until } = shut;
      if (degraded === 'no-expert' && now() >= until + ABSENCE_FORGOTTEN_MS) {
        shut = null;
        return null;
      }
      const probe = now() >= until && !probing;
      probing ||= probe;
      return { degraded, probe };
    },
    record({ degraded, roundTripMs }, allowedMs, kind = 'question') {
      if (kind === 'probe') probing = false;
      if (degraded === null || degraded === 'overloaded') {
        if (degraded === null) answered(roundTripMs);
        failures = 0;
        shut = null;
      } else if (degraded === 'no-expert') {
        failures = 0;
        shut = { degraded, until: now() + PROBE_MS, pauseMs: PROBE_MS };
      } else if (degraded !== 'timeout' || wasFair(allowedMs) || kind === 'probe') {
        failures += 1;
        const pauseMs = kind === 'probe' && shut ? Math.min(PROBE_MOST_MS, 2 * shut.pauseMs) : PROBE_MS;
        const opens = failures >= FAILURES && (shut === null || kind === 'probe');
        if (opens) shut = { degraded: 'circuit-open', until: now() + pauseMs, pauseMs };
      }
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
