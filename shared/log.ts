import { type Logger, pino } from 'pino';

export type Log = Logger;

/** JSON lines on standard error; standard output belongs to results. */
export function createLog(level: string, name: string): Log {
  return pino({ level, name }, pino.destination({ dest: 2, sync: false }));
}
