import { pino } from 'pino';
import type { Log } from '../../shared/observe/log.ts';

export interface LogLine {
  level: number;
  msg: string;
  [field: string]: unknown;
}

/** A log whose lines a test can read. */
export function keepLines(): { log: Log; lines: LogLine[]; of(msg: string): LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines, of: (msg) => lines.filter((line) => line.msg === msg) };
}
