import type { Backlog } from '../../../shared/request/backlog.ts';
import { AppError } from '../../../shared/request/errors.ts';

/** Decides who is let in, by count and by age, and whose escalation is given up for that. */
export interface Admission {
  /**
   * Throws AppError `overloaded` when too many are in, or when what is before one more would take most of its
   * `deadlineMs`.
   */
  check(deadlineMs: number): void;
  /** Counts a request in, from its last byte to the end of the answer. Throws as `check` does. */
  enter(deadlineMs: number): void;
  leave(): void;
  /** Answers within `deadlineMs` would soon be refused: escalations are given up first. */
  sheds(deadlineMs: number): boolean;
  /** Requests would soon be refused: who can ask elsewhere should. */
  nearlyFull(deadlineMs: number): boolean;
}

const REFUSE = 0.8; // share of the deadline that waiting may take: an estimate, and the answer must still get out
const SHED = 0.4;
const SHED_COUNT = 0.75;
const NEARLY = 0.6;
const NEARLY_COUNT = 0.9;

/** `limit` bounds the number of requests, `backlog` tells how long their own device needs for those before. */
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
