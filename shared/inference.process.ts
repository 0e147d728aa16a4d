import { type ChildProcess, fork } from 'node:child_process';
import { getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface ProcessOptions {
  /** The program that runs it. Default: this very Node. */
  execPath?: string;
  /** Threads of onnxruntime in it. */
  threads: number;
  /** Onnxruntime's execution providers, the preferred first. Default: cpu. */
  providers?: string[];
  /** What its sessions may take; the least recently used is released. Default: no limit. */
  memoryBytes?: number;
}

// Runs give way to whoever must take requests and answers in and out, and fill the time that this leaves.
const YIELDING = 5;

/** A process of `inference.worker.ts`; it says `ready` when it takes jobs. */
export function startModelProcess(options: ProcessOptions): ChildProcess {
  const { threads, providers = ['cpu'], memoryBytes = Number.MAX_SAFE_INTEGER, execPath = process.execPath } = options;
  const file = fileURLToPath(new URL('./inference.worker.ts', import.meta.url));
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
