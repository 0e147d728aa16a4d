import type { Log } from '../observe/log.ts';
import { type RateLimitedLog, rateLimited } from '../observe/rate-limited-log.ts';
import { ModelProcess, type ProcessOptions } from './model-process.ts';
import type { RunLimit } from './run-limit.ts';

export interface ProcessesOptions extends ProcessOptions {
  workers: number;
  log: Log;
}

interface ProcessesEvents {
  /** A process is up and takes runs. */
  onReady(): void;
  /** A process is gone; another takes its place. */
  onGone(process: ModelProcess): void;
  /** Too many in a row never came up: no job should wait for the next. */
  onHopeless(deaths: number): void;
}

const HOPELESS = 5;

/** Keeps a number of model processes running; iterates over those that are up. */
export class ModelProcesses implements Iterable<ModelProcess> {
  readonly #options: ProcessesOptions;
  readonly #say: RateLimitedLog;
  readonly #limit: RunLimit;
  readonly #events: ProcessesEvents;
  readonly #processes = new Set<ModelProcess>();
  /** Consecutive deaths without one that came up. */
  #deaths = 0;
  #stopping = false;

  constructor(options: ProcessesOptions, limit: RunLimit, events: ProcessesEvents) {
    this.#options = options;
    this.#say = rateLimited(options.log);
    this.#limit = limit;
    this.#events = events;
    for (let i = 0; i < options.workers; i++) this.#spawn();
  }

  get size(): number {
    return this.#processes.size;
  }

  get hopeless(): boolean {
    return this.#deaths >= HOPELESS;
  }

  [Symbol.iterator](): Iterator<ModelProcess> {
    return this.#processes.values();
  }

  /** Lets all finish and exit, and replaces none. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(Array.from(this.#processes, (process) => process.stop()));
  }

  #spawn(): void {
    const onError = (error: unknown) => this.#say('error', 'error', { err: error }, 'model process');
    try {
      const process: ModelProcess = new ModelProcess(this.#options, this.#limit, {
        onReady: () => {
          this.#deaths = 0;
          this.#events.onReady();
        },
        onError,
        onExit: (code, signal) => {
          this.#processes.delete(process);
          this.#events.onGone(process);
          this.#replace(code, signal);
        },
      });
      this.#processes.add(process);
    } catch (error) {
      onError(error);
      this.#replace(null, null);
    }
  }

  #replace(code: number | null, signal: string | null): void {
    this.#deaths += 1;
    if (this.hopeless) this.#events.onHopeless(this.#deaths);
    if (this.#stopping) return;
    this.#say('error', `${code} ${signal}`, { code, signal }, 'model process died, starting another');
    // Backs off: a process that keeps dying at once must not take the machine with it.
    const delay = Math.min(5000, 25 * 2 ** this.#deaths);
    setTimeout(() => {
      if (!this.#stopping) this.#spawn();
    }, delay);
  }
}
