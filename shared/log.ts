import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';

export type Log = Logger;

const MOST_KEPT = 1024 * 1024;

/**
 * JSON lines on standard error; standard output belongs to results. Where they cannot be written (a full disk, a reader
 * that is gone or stuck) they are lost: no answer and no end of the process waits for them.
 */
export function createLog(level: string, name: string): Log {
  const destination = pino.destination({ dest: 2, sync: false, maxLength: MOST_KEPT });
  destination.on('error', () => {});
  destination.flushSync = () => {}; // it would try again for ever, also at the end of the process
  return pino({ level, name }, destination);
}

/** Resolves when the lines so far are written, or soon if they cannot be. */
export async function flushLog(log: Log): Promise<void> {
  const flushed = new Promise<void>((resolve) => log.flush(() => resolve()));
  await Promise.race([flushed, sleep(500, undefined, { ref: false })]);
}
