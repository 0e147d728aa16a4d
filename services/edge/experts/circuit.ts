import type { Degraded, ExpertAnswer } from './ask.ts';
import { RoundTrips } from './round-trips.ts';

/** Why an expert is not asked now. `probe`: a probe is due, a copy of the question whose answer nobody waits for. */
interface Obstacle {
  degraded: Extract<Degraded, 'no-expert' | 'circuit-open'>;
  probe: boolean;
}

/** `state` is the new one, as far as the edge can know. */
export interface CircuitChange {
  state: 'closed' | 'open' | 'absent';
  /** What the expert did, such as `timeout`. */
  reason: string;
  degraded: Degraded | null;
}

/**
 * A circuit breaker for one expert, which also measures its round trips. One report of absence opens the circuit at
 * once; timeouts and errors open it after a few in a row. While it is open nobody waits for the expert: copies of
 * questions are sent as probes, until one is answered within the time that callers had. If probes are answered later
 * than that, only callers who can wait that long ask the expert.
 *
 * An absence that nothing confirms for 5 s expires, since asking again costs little. A silence does not expire.
 */
export interface ExpertHealth {
  /** Null: ask it. `waitMs`: the longest that the caller would wait for the answer. */
  obstacle(waitMs: number): Obstacle | null;
  /** The outcome of a question. `waitedMs`: the longest that the caller would have waited. */
  record(answer: ExpertAnswer, waitedMs: number): void;
  /** The outcome of the probe that was due; null: it could not be sent. */
  probed(answer: ExpertAnswer | null): void;
  /** 95th percentile of its last round trips, once there are enough of them. */
  readonly p95Ms: number | undefined;
  readonly state: 'closed' | 'open' | 'absent';
}

const FAILURES = 3; // in a row
const ABSENCE_MS = 5000;
const PROBE_MS = 250; // until the first probe; doubled after each that fails
const PROBE_MAX_MS = 1000;
const LATE_MARGIN = 1.2; // a late expert may take this much longer the next time

/** An expert is not to blame for a picture that cannot be taken. This many in a row count as one failure. */
const REFUSALS = 20;
const isPictures = (answer: ExpertAnswer) => answer.degraded !== null && answer.cause === 'picture';

/** `changed` is called once for each change, except when an old absence expires. */
export function createExpertHealth(
  now: () => number = () => performance.now(),
  changed: (change: CircuitChange) => void = () => {},
): ExpertHealth {
  return new Circuit(now, changed);
}

class Circuit implements ExpertHealth {
  readonly #now: () => number;
  readonly #changed: (change: CircuitChange) => void;
  readonly #roundTrips = new RoundTrips();
  #told: CircuitChange['state'] = 'closed';
  #failures = 0; // in a row
  #refusals = 0; // in a row
  #shut: { degraded: Obstacle['degraded']; until: number; pauseMs: number } | null = null;
  #probing = false;
  /**
   * The longest that the last caller who got no answer would have waited; while the circuit is open, the shortest such
   * time. A probe answered later than that helps none of them.
   */
  #allowedMs = Number.POSITIVE_INFINITY;
  /** Round trip of the last answer that was later than that. */
  #lateMs = Number.POSITIVE_INFINITY;

  constructor(now: () => number, changed: (change: CircuitChange) => void) {
    this.#now = now;
    this.#changed = changed;
  }

  obstacle(waitMs: number): Obstacle | null {
    if (this.#shut === null || waitMs > LATE_MARGIN * this.#lateMs) return null;
    const { degraded, until } = this.#shut;
    if (degraded === 'no-expert' && this.#now() >= until + ABSENCE_MS) {
      this.#shut = null;
      return null;
    }
    const probe = this.#now() >= until && !this.#probing;
    this.#probing ||= probe;
    return { degraded, probe };
  }

  record(answer: ExpertAnswer, waitedMs: number): void {
    const { degraded, roundTripMs } = answer;
    this.#refusals = isPictures(answer) ? (this.#refusals + 1) % REFUSALS : 0;
    if (this.#refusals > 0) return;
    if (degraded === null) this.#roundTrips.add(roundTripMs);
    if (this.#tooLate(answer)) return;
    if (degraded === null || degraded === 'overloaded') this.#open(answer);
    else if (degraded === 'no-expert') this.#shutFor(degraded, PROBE_MS, answer);
    else this.#fail(answer, waitedMs);
  }

  #fail(answer: ExpertAnswer, waitedMs: number): void {
    if (answer.degraded === 'timeout') {
      if (!this.#roundTrips.isFair(waitedMs) && waitedMs <= LATE_MARGIN * this.#lateMs) return;
      this.#allowedMs = this.#shut === null ? waitedMs : Math.min(this.#allowedMs, waitedMs);
    }
    this.#failures += 1;
    const asked = this.#shut === null || this.#lateMs < Number.POSITIVE_INFINITY;
    if (this.#failures >= FAILURES && asked) this.#shutFor('circuit-open', PROBE_MS, answer);
  }

  probed(answer: ExpertAnswer | null): void {
    this.#probing = false;
    if (answer === null) return;
    if (isPictures(answer)) {
      if (this.#shut) this.#shut.until = this.#now() + this.#shut.pauseMs;
      return;
    }
    if (this.#tooLate(answer)) return;
    const { degraded } = answer;
    if (degraded === null || degraded === 'overloaded') this.#open(answer);
    else if (degraded === 'no-expert') this.#shutFor(degraded, PROBE_MS, answer);
    else this.#shutFor('circuit-open', Math.min(PROBE_MAX_MS, 2 * (this.#shut?.pauseMs ?? PROBE_MS)), answer);
  }

  get p95Ms(): number | undefined {
    return this.#roundTrips.p95Ms;
  }

  get state(): CircuitChange['state'] {
    if (this.#shut === null) return 'closed';
    return this.#shut.degraded === 'no-expert' ? 'absent' : 'open';
  }

  #shutFor(degraded: Obstacle['degraded'], pauseMs: number, answer: ExpertAnswer, reason?: string): void {
    this.#shut = { degraded, until: this.#now() + pauseMs, pauseMs };
    this.#lateMs = Number.POSITIVE_INFINITY;
    this.#tell(degraded === 'no-expert' ? 'absent' : 'open', answer, reason);
  }

  #open(answer: ExpertAnswer): void {
    this.#failures = 0;
    this.#shut = null;
    this.#allowedMs = Number.POSITIVE_INFINITY;
    this.#tell('closed', answer);
  }

  /** True if the expert answered, but later than `#allowedMs`. */
  #tooLate(answer: ExpertAnswer): boolean {
    const { degraded, roundTripMs } = answer;
    if (this.#shut === null || degraded !== null || roundTripMs <= this.#allowedMs) return false;
    this.#shutFor('circuit-open', PROBE_MS, answer, 'late');
    this.#failures = 0;
    this.#lateMs = roundTripMs;
    return true;
  }

  #tell(state: CircuitChange['state'], { degraded, ...answer }: ExpertAnswer, reason?: string): void {
    if (state === this.#told) return;
    this.#told = state;
    const cause = answer.reply === null ? answer.reason : undefined;
    this.#changed({ state, degraded, reason: reason ?? cause ?? degraded ?? 'answered' });
  }
}
