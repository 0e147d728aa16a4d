import { type Deadline, unlessAborted } from './deadline.ts';
import { DueQueue } from './due-queue.ts';
import { AppError } from './errors.ts';
import { type Job, outputsOf, takeBatch } from './inference.batch.ts';
import { createBatchGains } from './inference.batch-gain.ts';
import { ModelProcess, ProcessDied, type ProcessOptions } from './inference.process.ts';
import type { Log } from './log.ts';
import { createRunLimit, type RunLimit } from './run-limit.ts';
import type { RunnableModel } from './runnable.ts';

export interface Inference {
  /** Each output's values for the picture. */
  outputs: Record<string, Float32Array>;
  queueMs: number;
  /** Of the run that this picture was part of. */
  runMs: number;
  /** The model had to be loaded first. */
  loaded: boolean;
}

export interface PoolOptions extends ProcessOptions {
  workers: number;
  /** Pictures that may wait; one more is refused with `overloaded`. */
  queueLimit: number;
  /** A run longer than this is taken for hung, and its process is killed. Default: learnt, see `run-limit.ts`. */
  runLimitMs?: number;
  log: Log;
}

interface PoolJob extends Job {
  queuedAt: number;
  attempts: number;
  /** Nobody waits for it any more. */
  abandoned: boolean;
  settled: PromiseWithResolvers<Inference>;
}

interface RunOptions {
  /** Pictures of this model that may run together, if so many wait. Default: 1. */
  batch?: number;
  /** Jobs run in the order of their deadlines, those without one last. */
  deadline?: Pick<Deadline, 'at' | 'signal'>;
}

const ATTEMPTS = 2; // a job whose process died is tried once more, on another one
const HOPELESS = 5; // so many processes in a row that never came up: what waits is refused

/**
 * Child processes that run models, fed from one bounded queue, most urgent first; a dead process is replaced. What waits
 * for the same model when a process becomes free is run together where that saves time, evenly shared among the processes:
 * nothing waits for company, and a picture alone runs alone.
 */
export class InferencePool {
  readonly #options: PoolOptions;
  readonly #queue = new DueQueue<PoolJob>();
  readonly #processes = new Set<ModelProcess>();
  readonly #limit: RunLimit;
  readonly #gainOf = createBatchGains();
  #running = 0;
  #stopping = false;
  #deaths = 0;
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#limit = createRunLimit(options.runLimitMs);
    for (let i = 0; i < options.workers; i++) this.#spawn();
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * pixels: a square of 8-bit RGB. A job whose deadline aborts before it starts never runs. Rejects with AppError
   * `overloaded`, `stopping` or `model-failed`, and when aborted with the signal's reason.
   */
  run(model: RunnableModel, pixels: Uint8Array, options: RunOptions = {}): Promise<Inference> {
    return this.#add(model, pixels, options, undefined);
  }

  /**
   * Loads a model and runs it once in every process, on a blank picture unless there is another: rejects if the file or
   * its shapes are not the manifest's. Resolves with what each process got.
   */
  warm(model: RunnableModel, pixels: Uint8Array = new Uint8Array(3 * model.size ** 2)): Promise<Inference[]> {
    return Promise.all(Array.from(this.#processes, (process) => this.#add(model, pixels, {}, process)));
  }

  /** Finishes what is queued, then ends the processes. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #add(
    model: RunnableModel,
    pixels: Uint8Array,
    { batch = 1, deadline }: RunOptions,
    only: ModelProcess | undefined,
  ): Promise<Inference> {
    if (this.#stopping) throw new AppError('stopping', 'the model runner is stopping');
    deadline?.signal.throwIfAborted();
    if (only === undefined && this.#queue.length >= this.#options.queueLimit) {
      throw new AppError('overloaded', `${this.#queue.length} pictures are waiting for a model already`);
    }
    const due = deadline?.at ?? Number.POSITIVE_INFINITY;
    const settled = Promise.withResolvers<Inference>();
    const queuedAt = performance.now();
    const job: PoolJob = { model, pixels, batch, due, queuedAt, attempts: 0, only, abandoned: false, settled };
    this.#queue.add(job);
    this.#dispatch();
    try {
      return await (deadline ? unlessAborted(deadline.signal, settled.promise) : settled.promise);
    } finally {
      // Aborted while it waited: it never runs. A run in progress cannot be stopped; its result is dropped.
      this.#queue.remove(job);
      job.abandoned = true;
      this.#endIfIdle();
    }
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      this.#endIfIdle();
    });
    await Promise.all(Array.from(this.#processes, (process) => process.stop()));
  }

  #dispatch(): void {
    for (const process of this.#processes) {
      if (!process.idle) continue;
      const jobs = takeBatch(this.#queue, process, this.#processes.size, this.#gainOf);
      if (jobs.length > 0) void this.#run(process, jobs);
    }
    this.#endIfIdle();
  }

  async #run(process: ModelProcess, jobs: PoolJob[]): Promise<void> {
    const { model } = jobs[0] as PoolJob;
    const startedAt = performance.now();
    for (const job of jobs) job.attempts += 1;
    this.#running += 1;
    const pictures = jobs.map(({ pixels }) => pixels);
    try {
      const result = await process.run(model, pictures);
      if (!result.loaded) this.#gainOf(model).record(jobs.length, result.runMs);
      jobs.forEach(({ settled, queuedAt }, i) => {
        settled.resolve({ ...result, outputs: outputsOf(result, i, jobs.length), queueMs: startedAt - queuedAt });
      });
    } catch (error) {
      for (const job of jobs) this.#fail(job, error);
    } finally {
      this.#running -= 1;
      this.#dispatch();
    }
  }

  #fail(job: PoolJob, error: unknown): void {
    if (!(error instanceof ProcessDied)) job.settled.reject(error);
    else if (job.attempts < ATTEMPTS && !job.abandoned) this.#queue.add(Object.assign(job, { only: undefined }));
    else job.settled.reject(new AppError('model-failed', `the process running ${job.model.id} died twice`));
  }

  #spawn(): void {
    const { log } = this.#options;
    const process: ModelProcess = new ModelProcess(this.#options, this.#limit, {
      onReady: () => {
        this.#deaths = 0;
        this.#dispatch();
      },
      onError: (error) => log.error({ err: error }, 'model process'),
      onExit: (code, signal) => this.#replace(process, code, signal),
    });
    this.#processes.add(process);
  }

  #replace(process: ModelProcess, code: number | null, signal: string | null): void {
    this.#processes.delete(process);
    for (const waiting of this.#queue) if (waiting.only === process) waiting.only = undefined;
    this.#deaths += 1;
    if (this.#deaths >= HOPELESS) this.#giveUpWaiting();
    this.#endIfIdle();
    if (this.#over) return;
    this.#options.log.error({ code, signal }, 'model process died, starting another');
    // A process that dies at once, again and again, must not take the machine with it.
    const delay = Math.min(5000, 25 * 2 ** this.#deaths);
    setTimeout(() => {
      if (!this.#over) this.#spawn();
    }, delay);
  }

  /** Stopping, and nothing is left to do. */
  get #over(): boolean {
    return this.#stopping && this.#queue.length === 0 && this.#running === 0;
  }

  #endIfIdle(): void {
    if (this.#over) this.#idle?.();
  }

  #giveUpWaiting(): void {
    const error = new AppError('model-failed', `model processes do not start: ${this.#deaths} in a row died first`);
    for (const job of this.#queue.takeAll()) job.settled.reject(error);
  }
}
