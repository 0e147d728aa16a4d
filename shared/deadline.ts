/** A point in time that only this process knows; other processes get the time left. */
export class Deadline {
  readonly #at: number;

  constructor(milliseconds: number) {
    this.#at = performance.now() + milliseconds;
  }

  /** Milliseconds left, never below 0. */
  get left(): number {
    return Math.max(0, this.#at - performance.now());
  }

  get passed(): boolean {
    return this.left === 0;
  }
}

/** Milliseconds since `from` (a `performance.now()`), rounded to microseconds. */
export function elapsed(from: number): number {
  return Math.round((performance.now() - from) * 1000) / 1000;
}
