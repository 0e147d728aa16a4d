import { AppError } from '../../shared/errors.ts';
import type { Pace } from '../../shared/pace.ts';

/** Decides who is let in, by count and by age, and whose escalation is given up for that. */
export interface Admission {
  /**
   * Counts a request in, from its first byte to the end of the answer. Throws AppError `overloaded` when too many are
   * in, or when what is before it would take most of its `deadlineMs`.
   */
  enter(deadlineMs: number): void;
  leave(): void;
  /** Answers within `deadlineMs` would soon be refused: escalations are given up first. */
  sheds(deadlineMs: number): boolean;
  /** Resolves when nothing is being answered. */
  idle(): Promise<void>;
}

const REFUSE = 0.8; // share of the deadline that waiting may take: an estimate, and the answer must still get out
const SHED = 0.4;
const SHED_COUNT = 0.75;

/** `limit` bounds the number of requests, `pace` tells how long their own device needs for those before. */
export function createAdmission(limit: number, pace: Pace): Admission {
  let count = 0;
  let waiting: (() => void)[] = [];
  return {
    enter(deadlineMs) {
      const { waitMs } = pace;
      const retryAfterMs = Math.max(1000, waitMs);
      if (count >= limit) {
        throw new AppError('overloaded', `${limit} requests are being answered already`, { retryAfterMs });
      }
      if (waitMs > REFUSE * deadlineMs) {
        const message = `about ${Math.ceil(waitMs)} ms of work are waiting, the deadline is ${deadlineMs} ms`;
        throw new AppError('overloaded', message, { retryAfterMs });
      }
      count += 1;
    },
    leave() {
      count -= 1;
      if (count > 0) return;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    sheds(deadlineMs) {
      return count > Math.max(1, SHED_COUNT * limit) || pace.waitMs > SHED * deadlineMs;
    },
    async idle() {
      if (count > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}
