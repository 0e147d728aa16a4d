import { type RateLimitedLog, rateLimited } from '../observe/rate-limited-log.ts';
import { unlessAborted } from '../request/deadline.ts';
import { AppError } from '../request/errors.ts';
import type { Tensors } from '../wire/tensor.ts';
import { outputsOf } from './batching/join.ts';
import { type BatchSizes, createBatchSizes } from './batching/sizes.ts';
import { takeBatch } from './batching/take-batch.ts';
import { DueQueue } from './due-queue.ts';
import { createJob, type Inference, type PoolJob, type RunOptions } from './job.ts';
import { ModelHealth } from './model-health.ts';
import { ModelFailed, type ModelProcess, ProcessDied } from './model-process.ts';
import { createRunLimit } from './run-limit.ts';
import { blank, type RunnableModel } from './runnable.ts';
import { ModelProcesses, type ProcessesOptions } from './supervisor.ts';

export interface PoolOptions extends ProcessesOptions {
  /** How many pictures may wait; one more is refused with `overloaded`. */
  queueLimit: number;
  /** A longer run counts as hung, and its process is killed. Default: learned, see `run-limit.ts`. */
  runLimitMs?: number;
}

const ATTEMPTS = 2; // a job whose process died is tried once more, on another process

/**
 * Child processes that run models, fed from one bounded queue, earliest deadline first. A dead process is replaced.
 * When a process becomes free, jobs that wait for the same model are batched where that saves time, evenly shared among
 * the processes. No job waits for a batch to fill.
 */
export class InferencePool {
  readonly #options: PoolOptions;
  readonly #say: RateLimitedLog;
  readonly #queue = new DueQueue<PoolJob>();
  readonly #sizes: BatchSizes;
  readonly #health = new ModelHealth((model) => this.run(model, blank(model)));
  readonly #processes: ModelProcesses;
  #running = 0;
  #stopping = false;
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#say = rateLimited(options.log);
    this.#sizes = createBatchSizes(options.log);
    this.#processes = new ModelProcesses(options, createRunLimit(options.runLimitMs), {
      onReady: () => this.#dispatch(),
      onGone: (process) => this.#release(process),
      onHopeless: (deaths) => this.#giveUpWaiting(deaths),
    });
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * False if the model's latest run failed or no process starts: pictures should go elsewhere. Asking also retries the
   * model from time to time, until it works.
   */
  works(model: RunnableModel): boolean {
    return !this.#processes.hopeless && this.#health.works(model);
  }

  /**
   * A job whose deadline aborts before it starts never runs. Rejects with AppError `overloaded`, `stopping` or
   * `model-failed`, and when aborted with the signal's reason. Why a model failed is only logged: callers must not see
   * this machine's paths.
   */
  async run(model: RunnableModel, inputs: Tensors, options: RunOptions = {}): Promise<Inference> {
    try {
      return await this.#add(model, inputs, options, undefined);
    } catch (error) {
      if (!(error instanceof ModelFailed)) throw error;
      this.#say('error', `failed ${model.id}`, { model: model.id, reason: error.message }, 'model failed');
      throw new AppError('model-failed', `model ${model.id} could not be run, see the log`, { cause: error });
    }
  }

  /**
   * Loads a model and runs it once in every process, on blank inputs by default. Rejects with ModelFailed if the file
   * or its shapes are not the manifest's. Resolves with the result of each process.
   */
  warm(model: RunnableModel, inputs: Tensors = blank(model)): Promise<Inference[]> {
    // If there is no process yet, the first to start runs it: success without a run would vouch for an unchecked model.
    const processes = this.#processes.size > 0 ? [...this.#processes] : [undefined];
    return Promise.all(processes.map((process) => this.#add(model, inputs, {}, process)));
  }

  /** Finishes the queue, then ends the processes. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #add(
    model: RunnableModel,
    inputs: Tensors,
    options: RunOptions,
    only: ModelProcess | undefined,
  ): Promise<Inference> {
    const { deadline } = options;
    if (this.#stopping) throw new AppError('stopping', 'the model runner is stopping');
    deadline?.signal.throwIfAborted();
    if (only === undefined && this.#queue.length >= this.#options.queueLimit) {
      throw new AppError('overloaded', `${this.#queue.length} pictures are waiting for a model already`);
    }
    const job = createJob(model, inputs, options, only);
    this.#queue.add(job);
    this.#dispatch();
    try {
      return await (deadline ? unlessAborted(deadline.signal, job.settled.promise) : job.settled.promise);
    } finally {
      // Aborted while waiting: it never runs. A run in progress cannot be stopped; its result is dropped.
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
    await this.#processes.stop();
  }

  #dispatch(): void {
    for (const process of this.#processes) {
      if (!process.idle) continue;
      const jobs = takeBatch(this.#queue, process, this.#processes.size, this.#sizes);
      if (jobs.length > 0) void this.#run(process, jobs);
    }
    this.#endIfIdle();
  }

  async #run(process: ModelProcess, jobs: PoolJob[]): Promise<void> {
    const { model } = jobs[0] as PoolJob;
    const startedAt = performance.now();
    for (const job of jobs) job.attempts += 1;
    this.#running += 1;
    const items = jobs.map(({ inputs }) => inputs);
    try {
      const result = await process.run(model, items);
      this.#health.succeeded(model);
      this.#sizes.record(model, jobs.length, result);
      jobs.forEach(({ settled, queuedAt }, i) => {
        const outputs = outputsOf(result.outputs, i, jobs.length);
        settled.resolve({ outputs, queueMs: startedAt - queuedAt, runMs: result.runMs, loaded: !!result.loaded });
      });
    } catch (error) {
      // One bad item fails a whole batch: each is run again, alone.
      const again = jobs.length > 1 && !(error instanceof ProcessDied);
      for (const job of jobs) {
        if (again) this.#queue.add(Object.assign(job, { batch: 1 }));
        else this.#fail(job, error);
      }
    } finally {
      this.#running -= 1;
      this.#dispatch();
    }
  }

  #fail(job: PoolJob, error: unknown): void {
    if (!(error instanceof ProcessDied)) this.#reject(job, error);
    else if (job.abandoned) job.settled.reject(error);
    else if (job.attempts < ATTEMPTS) this.#queue.add(Object.assign(job, { only: undefined }));
    else this.#reject(job, new AppError('model-failed', `the process running ${job.model.id} died twice`));
  }

  #reject(job: PoolJob, error: unknown): void {
    job.settled.reject(error);
    this.#health.failed(job.model);
  }

  /** Lets any process run the jobs that were for this one only. */
  #release(process: ModelProcess): void {
    for (const waiting of this.#queue) if (waiting.only === process) waiting.only = undefined;
  }

  /** Stopping, and no job is left. */
  get #over(): boolean {
    return this.#stopping && this.#queue.length === 0 && this.#running === 0;
  }

  #endIfIdle(): void {
    if (this.#over) this.#idle?.();
  }

  #giveUpWaiting(deaths: number): void {
    const error = new AppError('model-failed', `model processes do not start: ${deaths} in a row died first`);
    for (const job of this.#queue.takeAll()) this.#reject(job, error);
    this.#endIfIdle();
  }
}
