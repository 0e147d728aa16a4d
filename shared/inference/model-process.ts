import { type ChildProcess, fork } from 'node:child_process';
import { getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Tensors } from '../wire/tensor.ts';
import { joinInputs } from './batching/join.ts';
import type { Loaded, WorkerReply, WorkerRequest } from './messages.ts';
import type { RunLimit } from './run-limit.ts';
import type { RunnableModel } from './runnable.ts';

export interface ProcessOptions {
  /** The program that runs the process. Default: this Node. */
  execPath?: string;
  /** Threads of onnxruntime. */
  threads: number;
  /** Onnxruntime's execution providers, the preferred first. Default: cpu. */
  providers?: string[];
  /** Memory of its sessions; beyond it the least recently used is released. Default: no limit. */
  memoryBytes?: number;
}

interface ProcessEvents {
  /** The process is up and takes runs. */
  onReady(): void;
  onError(error: Error): void;
  /** The process is gone, or never started. A run in progress was rejected with ProcessDied before this call. */
  onExit(code: number | null, signal: string | null): void;
}

/** The result of a run: each output, item after item. */
export interface RunResult {
  outputs: Tensors;
  runMs: number;
  /** Set if the model was loaded for this run. */
  loaded: Loaded | undefined;
}

/** The model could not be loaded or run. The message is for the operator: it shows paths. */
export class ModelFailed extends Error {}

/** The process died during a run: another one may succeed. */
export class ProcessDied extends Error {}

interface Run {
  id: number;
  model: RunnableModel;
  timer: NodeJS.Timeout;
  settled: PromiseWithResolvers<RunResult>;
}

// Niceness: runs yield to the processes that handle requests, and use the time that these leave.
const YIELDING = 5;
const GRACE_MS = 50;

/** A process of `worker.ts`: one run at a time; one that hangs is killed. */
export class ModelProcess {
  readonly #child: ChildProcess;
  readonly #limit: RunLimit;
  readonly #exited: Promise<void>;
  #ready = false;
  #run: Run | undefined;
  #runs = 0;
  /** Digests of the loaded models. */
  #holds = new Set<string>();

  /** Throws if the system refuses the process at once; other failures to start are reported by `events`. */
  constructor(options: ProcessOptions, limit: RunLimit, events: ProcessEvents) {
    this.#limit = limit;
    this.#child = startWorker(options);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exited = promise;
    const gone = (code: number | null, signal: string | null) => {
      this.#end()?.settled.reject(new ProcessDied());
      resolve();
      events.onExit(code, signal);
    };
    this.#child.on('message', (reply: WorkerReply | WatchedFiles) => {
      if ('watch:import' in reply || 'watch:require' in reply) return void process.send?.(reply);
      if (!('ready' in reply)) return this.#settle(reply);
      this.#ready = true;
      events.onReady();
    });
    this.#child.on('error', (error) => {
      events.onError(error);
      if (this.#child.pid === undefined) gone(null, null); // never started: there will be no 'exit'
    });
    this.#child.on('exit', gone);
  }

  get idle(): boolean {
    return this.#ready && this.#run === undefined;
  }

  /** Runs the items. Only when idle. Rejects with ModelFailed or ProcessDied. */
  run(model: RunnableModel, items: Tensors[]): Promise<RunResult> {
    const id = this.#runs++;
    const settled = Promise.withResolvers<RunResult>();
    // Before the run begins: items that cannot be joined throw, and must not leave a run that never ends.
    const request: WorkerRequest = { job: id, model, inputs: joinInputs(items), count: items.length };
    this.#run = { id, model, timer: this.#startWatchdog(model), settled };
    this.#child.send(request);
    return settled.promise;
  }

  /** Lets it finish and exit; resolves when it has exited. */
  stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    return this.#exited;
  }

  #settle(reply: Exclude<WorkerReply, { ready: true }>): void {
    if (this.#run?.id !== reply.job) return;
    const { model, settled } = this.#end() as Run;
    if ('failure' in reply) {
      settled.reject(new ModelFailed(`model ${model.id}: ${reply.failure}`));
      return;
    }
    const { outputs, runMs, loaded } = reply;
    if (loaded) this.#holds = new Set(loaded.holds);
    this.#limit.ended(runMs);
    settled.resolve({ outputs, runMs, loaded });
  }

  #end(): Run | undefined {
    const run = this.#run;
    clearTimeout(run?.timer);
    this.#run = undefined;
    return run;
  }

  /** Kills the process if the run takes so long that it must be hung. */
  #startWatchdog({ sha256 }: RunnableModel): NodeJS.Timeout {
    // If this process itself was suspended, the reply is there already and is read within the grace.
    const doubt = () => {
      if (this.#run) this.#run.timer = setTimeout(() => this.#child.kill('SIGKILL'), GRACE_MS);
    };
    return setTimeout(doubt, this.#limit.allow(this.#holds.has(sha256)));
  }
}

/** Under `node --watch` the files that a process loads: for Node, which is this process's parent then. */
type WatchedFiles = { 'watch:import': string[] } | { 'watch:require': string[] };

function startWorker(options: ProcessOptions): ChildProcess {
  const { threads, providers = ['cpu'], memoryBytes = Number.MAX_SAFE_INTEGER, execPath = process.execPath } = options;
  const file = fileURLToPath(new URL('./worker.ts', import.meta.url));
  const child = fork(file, [String(threads), String(memoryBytes), ...providers], {
    execPath,
    execArgv: [],
    serialization: 'advanced',
  });
  if (child.pid !== undefined) giveWay(child.pid);
  return child;
}

function giveWay(pid: number): void {
  try {
    setPriority(pid, Math.max(YIELDING, getPriority()));
  } catch {
    // Gone already, or not allowed: it runs at this process's priority.
  }
}
