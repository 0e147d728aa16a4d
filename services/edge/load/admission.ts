import type { Backlog } from '../../../shared/request/backlog.ts';
import { AppError } from '../../../shared/request/errors.ts';

/**
 * Decides which requests are admitted, by their number and by the expected wait, and when escalations are shed first.
 */
export interface Admission {
  /**
   * Throws AppError `overloaded` when there are too many requests, or when the backlog would take most of `deadlineMs`.
   */
  check(deadlineMs: number): void;
  /** Counts a request from its last byte to the end of its answer. Throws as `check` does. */
  enter(deadlineMs: number): void;
  leave(): void;
  /** Requests would soon be refused: escalations are shed first. */
  sheds(deadlineMs: number): boolean;
  /** Requests would soon be refused: load balancers should send them elsewhere. */
  nearlyFull(deadlineMs: number): boolean;
}

// share of the deadline that waiting may take; the rest is for errors of the estimate and for the answer
const REFUSE = 0.8;
const SHED = 0.4;
const SHED_COUNT = 0.75;
const NEARLY = 0.6;
const NEARLY_COUNT = 0.9;

/** `limit` bounds the number of requests; `backlog` estimates how long a new one would wait. */
export function createAdmission(limit: number, backlog: Backlog): Admission {
  let count = 0;

  function check(deadlineMs: number): void {
    const { waitMs } = backlog;
    const retryAfterMs = Math.max(1000, waitMs);
    if (count >= limit) {
      throw new AppError('overloaded', `${limit} requests are being answered already`, { retryAfterMs });
    }
    if (waitMs > REFUSE * deadlineMs) {
      const message = `about ${Math.ceil(waitMs)} ms of work are waiting, the deadline is ${deadlineMs} ms`;
      throw new AppError('overloaded', message, { retryAfterMs });
    }
  }

  return {
    check,
    enter(deadlineMs) {
      check(deadlineMs);
      count += 1;
    },
    leave() {
      count -= 1;
    },
    sheds(deadlineMs) {
      return count > Math.max(1, SHED_COUNT * limit) || backlog.waitMs > SHED * deadlineMs;
    },
    nearlyFull(deadlineMs) {
      return count > Math.max(1, NEARLY_COUNT * limit) || backlog.waitMs > NEARLY * deadlineMs;
    },
  };
}
