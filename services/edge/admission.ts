import { AppError } from '../../shared/errors.ts';

/** Counts the requests that are being answered, from their first byte to the end of the answer, and bounds them. */
export interface Admission {
  /** Throws AppError `overloaded`. */
  enter(): void;
  leave(): void;
  /** Resolves when nothing is being answered. */
  idle(): Promise<void>;
}

export function createAdmission(limit: number): Admission {
  let count = 0;
  let waiting: (() => void)[] = [];
  return {
    enter() {
      if (count >= limit) throw new AppError('overloaded', `${limit} requests are being answered already`);
      count += 1;
    },
    leave() {
      count -= 1;
      if (count > 0) return;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    async idle() {
      if (count > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}
