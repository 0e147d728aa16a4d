import type { Log } from '../observe/log.ts';
import type { Config } from '../settings/settings.ts';
import { InferencePool } from './pool.ts';
import { sessionMemory } from './runnable.ts';

/** Creates the model processes of the settings. `queueLimit`: how many pictures may wait. */
export function createPool(config: Config, queueLimit: number, log: Log, memoryBytes?: number): InferencePool {
  return new InferencePool({
    workers: config.ASK_WORKERS,
    threads: config.ASK_THREADS,
    providers: config.ASK_EXECUTION_PROVIDERS,
    queueLimit,
    log,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  });
}

/** Memory for the experts' sessions in each model process, in bytes, beside a generalist's session, which must stay. */
export function expertMemory(config: Config, generalistBytes = 0): number {
  return config.ASK_EXPERT_MEMORY_MB * 1024 * 1024 + sessionMemory(generalistBytes);
}
