import type { Config } from './config.ts';
import { InferencePool } from './inference.ts';
import type { Log } from './log.ts';

/** The model processes that the settings ask for; `queueLimit`: pictures that may wait for them. */
export function createPool(config: Config, queueLimit: number, log: Log): InferencePool {
  return new InferencePool({
    workers: config.ASK_WORKERS,
    threads: config.ASK_THREADS,
    providers: config.ASK_EXECUTION_PROVIDERS,
    memoryBytes: config.ASK_EXPERT_MEMORY_MB * 1024 * 1024,
    queueLimit,
    log,
  });
}
