import { AppError } from './errors.ts';

/**
 * The one deadline of a request: a point in this process's time; other processes get the time left. `signal` aborts
 * with an AppError `deadline-exceeded` when it passes, or with the caller's reason when `caller` aborts.
 */
export class Deadline {
  readonly signal: AbortSignal;
  /** When it passes, as `performance.now()`. */
  readonly at: number;
  /** The whole time that was allowed. */
  readonly milliseconds: number;
  readonly #timer: NodeJS.Timeout;
  readonly #forget: () => void;

  constructor(milliseconds: number, caller?: AbortSignal) {
    this.at = performance.now() + milliseconds;
    this.milliseconds = milliseconds;
    const controller = new AbortController();
    this.signal = controller.signal;
    const pass = () => controller.abort(new AppError('deadline-exceeded', `no answer within ${milliseconds} ms`));
    this.#timer = setTimeout(pass, milliseconds);
    const leave = () => controller.abort(caller?.reason);
    if (caller?.aborted) leave();
    caller?.addEventListener('abort', leave, { once: true });
    this.#forget = () => caller?.removeEventListener('abort', leave);
  }

  /** Milliseconds left, never below 0. */
  get left(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** Ends the deadline: the signal will not abort any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#forget();
  }
}

/**
 * Waits for `work`, or rejects with the signal's reason once that aborts. What becomes of `work` after that is nobody's
 * concern: a rejection of it is no unhandled one.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Milliseconds since `from` (a `performance.now()`), rounded to microseconds. */
export function elapsed(from: number): number {
  return Math.round((performance.now() - from) * 1000) / 1000;
}
