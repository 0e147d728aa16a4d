import { execFileSync } from 'node:child_process';
import { pino } from 'pino';
import { loadBundle } from '../../shared/bundle/load.ts';
import { InferencePool, type PoolOptions } from '../../shared/inference/pool.ts';
import { toRunnable } from '../../shared/inference/runnable.ts';
import { createLog } from '../../shared/observe/log.ts';
import type { AppError } from '../../shared/request/errors.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import { makeTinyBundle, SIZE, type TinyOptions } from './tiny-bundle.ts';
import type { TinyModel } from './tiny-onnx.ts';

/** A model that answers 1, 2, 3, 4 whatever it sees. */
export const constant: TinyModel['rows'] = [1, 2, 3, 4].map((bias) => [0, 0, 0, bias]);
export const slow: TinyModel = { rows: constant, work: 400 };
export const black = new Uint8Array(SIZE * SIZE * 3);
export const square = (data: Uint8Array): Tensors => ({ pixels: { type: 'uint8', shape: [1, SIZE, SIZE, 3], data } });
export const blank = square(black);

/** A pool of one process on a tiny bundle. */
export async function startPool(options: Partial<PoolOptions> = {}, bundleOptions: TinyOptions = {}) {
  const files = await makeTinyBundle(bundleOptions);
  const bundle = await loadBundle(files.directory);
  const models = [...bundle.here, ...bundle.there].map((id) => toRunnable(bundle, id));
  const log = createLog('silent', 'test');
  const pool = new InferencePool({ workers: 1, threads: 1, queueLimit: 100, memoryBytes: 1e9, log, ...options });
  return {
    pool,
    generalist: models[0] as (typeof models)[number],
    warm: models[1] as (typeof models)[number],
    async [Symbol.asyncDispose]() {
      await pool.stop();
      await files.remove();
    },
  };
}

/** A log, and the lines that were written to it. */
export function collectLog() {
  const lines: { msg: string; model?: string; reason?: string; err?: { code?: string } }[] = [];
  return { log: pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) }), lines };
}

export const codeOf = (run: Promise<unknown>) =>
  run.then(
    () => 'answered',
    (error: AppError) => error.code,
  );

/** Process ids of this process's model processes. */
export function children(): number[] {
  const lines = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' });
  return lines
    .split('\n')
    .filter((line) => line.includes('inference/worker'))
    .map((line) => Number.parseInt(line, 10));
}
