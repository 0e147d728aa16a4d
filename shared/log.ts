import { type Logger, pino } from 'pino';

export type Log = Logger;

const MOST_KEPT = 1024 * 1024;

/**
 * JSON lines on standard error; standard output belongs to results. Where they cannot be written (a full disk, a reader
 * that is gone) they are lost: no answer depends on them.
 */
export function createLog(level: string, name: string): Log {
  const destination = pino.destination({ dest: 2, sync: false, maxLength: MOST_KEPT });
  destination.on('error', () => {});
  return pino({ level, name }, destination);
}
