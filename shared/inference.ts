import type { ChildProcess } from 'node:child_process';
import { type Deadline, unlessAborted } from './deadline.ts';
import { DueQueue } from './due-queue.ts';
import { AppError } from './errors.ts';
import { type ProcessOptions, startModelProcess } from './inference.process.ts';
import type { WorkerReply, WorkerRequest } from './inference.protocol.ts';
import type { Log } from './log.ts';
import { createRunLimit } from './run-limit.ts';
import type { RunnableModel } from './runnable.ts';

export interface Inference {
  /** Each output's values, picture after picture. */
  outputs: Record<string, Float32Array>;
  queueMs: number;
  runMs: number;
  /** The model had to be loaded first. */
  loaded: boolean;
}

export interface PoolOptions extends ProcessOptions {
  workers: number;
  /** Jobs that may wait; one more is refused with `overloaded`. */
  queueLimit: number;
  /** A run longer than this is taken for hung, and its process is killed. Default: learnt, see `run-limit.ts`. */
  runLimitMs?: number;
  log: Log;
}

interface Job {
  request: WorkerRequest;
  /** When its deadline passes, as `performance.now()`. */
  due: number;
  queuedAt: number;
  startedAt: number;
  attempts: number;
  /** Only this process may do it. */
  worker: Worker | undefined;
  /** Nobody waits for it any more. */
  abandoned: boolean;
  settled: PromiseWithResolvers<Inference>;
}

interface Worker {
  child: ChildProcess;
  /** Its process is up and takes jobs. */
  ready: boolean;
  job: Job | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Digests of the models that it has loaded. */
  holds: Set<string>;
}

interface RunOptions {
  count?: number;
  /** Jobs run in the order of their deadlines, those without one last. */
  deadline?: Pick<Deadline, 'at' | 'signal'>;
}

const ATTEMPTS = 2; // a job whose process died is tried once more, on another one
const GRACE_MS = 50;
const HOPELESS = 5; // so many processes in a row that never came up: what waits is refused

/** Child processes that run models, fed from one bounded queue, most urgent first; a dead process is replaced. */
export class InferencePool {
  readonly #options: PoolOptions;
  readonly #queue = new DueQueue<Job>();
  readonly #workers = new Set<Worker>();
  readonly #limit = createRunLimit();
  #nextJob = 0;
  #stopping = false;
  #deaths = 0;
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    for (let i = 0; i < options.workers; i++) this.#spawn();
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * pixels: `count` squares of 8-bit RGB, one after the other. A job whose deadline aborts before it starts never runs.
   * Rejects with AppError `overloaded`, `stopping` or `model-failed`, and when aborted with the signal's reason.
   */
  run(model: RunnableModel, pixels: Uint8Array, options: RunOptions = {}) {
    return this.#run(model, pixels, options, undefined);
  }

  /**
   * Loads a model and runs it once in every worker, on a blank picture unless there is another: rejects if the file or
   * its shapes are not the manifest's. Resolves with what each worker got.
   */
  warm(model: RunnableModel, pixels: Uint8Array = new Uint8Array(3 * model.size ** 2)): Promise<Inference[]> {
    return Promise.all(Array.from(this.#workers, (worker) => this.#run(model, pixels, {}, worker)));
  }

  /** Finishes what is queued, then ends the processes. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(
    model: RunnableModel,
    pixels: Uint8Array,
    { count = 1, deadline }: RunOptions,
    worker: Worker | undefined,
  ): Promise<Inference> {
    if (this.#stopping) throw new AppError('stopping', 'the model runner is stopping');
    deadline?.signal.throwIfAborted();
    if (worker === undefined && this.#queue.length >= this.#options.queueLimit) {
      throw new AppError('overloaded', `${this.#queue.length} pictures are waiting for a model already`);
    }
    const request = { job: this.#nextJob++, model, pixels, count };
    const settled = Promise.withResolvers<Inference>();
    const due = deadline?.at ?? Number.POSITIVE_INFINITY;
    const job: Job = {
      request,
      due,
      queuedAt: performance.now(),
      startedAt: 0,
      attempts: 0,
      worker,
      abandoned: false,
      settled,
    };
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
    const exits = [...this.#workers].map(({ child }) => {
      const exit = new Promise((resolve) => child.once('exit', resolve));
      if (child.connected) child.disconnect();
      return exit;
    });
    await Promise.all(exits);
  }

  #spawn(): void {
    const child = startModelProcess(this.#options);
    const worker: Worker = { child, ready: false, job: undefined, timer: undefined, holds: new Set() };
    this.#workers.add(worker);
    child.on('message', (reply: WorkerReply) => this.#settle(worker, reply));
    child.on('error', (error) => {
      this.#options.log.error({ err: error }, 'model process');
      if (child.pid === undefined) this.#replace(worker, null, null); // never started: there will be no 'exit'
    });
    child.on('exit', (code, signal) => this.#replace(worker, code, signal));
  }

  #settle(worker: Worker, reply: WorkerReply): void {
    if ('ready' in reply) {
      worker.ready = true;
      this.#deaths = 0;
      this.#dispatch();
      return;
    }
    const { job } = worker;
    if (!job || job.request.job !== reply.job) return;
    clearTimeout(worker.timer);
    worker.job = undefined;
    if ('failure' in reply) {
      job.settled.reject(new AppError('model-failed', `model ${job.request.model.id}: ${reply.failure}`));
    } else {
      const { outputs, runMs, holds } = reply;
      if (holds) worker.holds = new Set(holds);
      this.#limit.ended(runMs);
      job.settled.resolve({ outputs, queueMs: job.startedAt - job.queuedAt, runMs, loaded: holds !== undefined });
    }
    this.#dispatch();
  }

  #replace(worker: Worker, code: number | null, signal: string | null): void {
    this.#workers.delete(worker);
    clearTimeout(worker.timer);
    for (const waiting of this.#queue) if (waiting.worker === worker) waiting.worker = undefined;
    const { job } = worker;
    if (job) {
      job.worker = undefined;
      if (job.attempts < ATTEMPTS && !job.abandoned) this.#queue.add(job);
      else job.settled.reject(new AppError('model-failed', `the process running ${job.request.model.id} died twice`));
    }
    this.#deaths += 1;
    if (this.#deaths >= HOPELESS) this.#giveUpWaiting();
    this.#endIfIdle();
    if (this.#stopping && this.#queue.length === 0) return;
    this.#options.log.error({ code, signal, model: job?.request.model.id }, 'model process died, starting another');
    // A process that dies at once, again and again, must not take the machine with it.
    const delay = Math.min(5000, 25 * 2 ** this.#deaths);
    setTimeout(() => {
      if (this.#stopping && this.#queue.length === 0) return;
      this.#spawn();
      this.#dispatch();
    }, delay);
  }

  #dispatch(): void {
    for (const worker of this.#workers) {
      if (worker.job || !worker.ready) continue;
      const job = this.#queue.take((waiting) => waiting.worker === undefined || waiting.worker === worker);
      if (!job) continue;
      job.attempts += 1;
      job.startedAt = performance.now();
      worker.job = job;
      this.#watch(worker, job.request.model.sha256);
      worker.child.send(job.request);
    }
    this.#endIfIdle();
  }

  /** Kills a process whose run takes so long that it must be hung. */
  #watch(worker: Worker, digest: string): void {
    // If this process itself was stopped, the reply is there already and is read within the grace.
    const doubt = () => {
      worker.timer = setTimeout(() => worker.child.kill('SIGKILL'), GRACE_MS);
    };
    worker.timer = setTimeout(doubt, this.#options.runLimitMs ?? this.#limit.allow(worker.holds.has(digest)));
  }

  #endIfIdle(): void {
    const working = [...this.#workers].some((worker) => worker.job);
    if (this.#stopping && this.#queue.length === 0 && !working) this.#idle?.();
  }

  #giveUpWaiting(): void {
    const error = new AppError('model-failed', `model processes do not start: ${this.#deaths} in a row died first`);
    for (const job of this.#queue.takeAll()) job.settled.reject(error);
  }
}
