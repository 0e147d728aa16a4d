import type { RunnableModel } from './runnable.ts';

const RETRY_MS = 2000;

/** Which models failed when they ran last. */
export class ModelHealth {
  readonly #retry: (model: RunnableModel) => Promise<unknown>;
  /** By digest, when to try again, as `performance.now()`. */
  readonly #failing = new Map<string, number>();

  /** `retry` runs a model, and has the outcome told here. */
  constructor(retry: (model: RunnableModel) => Promise<unknown>) {
    this.#retry = retry;
  }

  /** Asking has a model that failed tried again now and then: whoever asks may send no picture before it works. */
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
    // Refused before it ran, nothing was told.
    await this.#retry(model).catch(() => this.failed(model));
  }
}
