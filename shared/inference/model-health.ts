import type { RunnableModel } from './runnable.ts';

const RETRY_MS = 2000;

/** Tracks which models failed at their latest run. */
export class ModelHealth {
  readonly #retry: (model: RunnableModel) => Promise<unknown>;
  /** By digest, when to retry, as `performance.now()`. */
  readonly #failing = new Map<string, number>();

  /** `retry` runs a model and reports the outcome here. */
  constructor(retry: (model: RunnableModel) => Promise<unknown>) {
    this.#retry = retry;
  }

  /**
   * False after a failure. Asking also retries the model from time to time, since callers may send no picture before it
   * works.
   */
  works(model: RunnableModel): boolean {
    const next = this.#failing.get(model.sha256);
    if (next === undefined) return true;
    if (performance.now() >= next) void this.#tryAgain(model);
    return false;
  }

  failed({ sha256 }: RunnableModel): void {
    this.#failing.set(sha256, performance.now() + RETRY_MS);
  }

  succeeded({ sha256 }: RunnableModel): void {
    this.#failing.delete(sha256);
  }

  async #tryAgain(model: RunnableModel): Promise<void> {
    this.#failing.set(model.sha256, Number.POSITIVE_INFINITY);
    // A run that was refused before it began reports nothing.
    await this.#retry(model).catch(() => this.failed(model));
  }
}
