import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { makeStackVisible, makeVisible } from '../settings/visible.ts';

export type Log = Logger;

const MAX_KEPT = 1024 * 1024;
const STANDARD_ERROR = 2;

/**
 * Logs to standard error: JSON, or readable lines on a terminal; standard output belongs to results. Lines that cannot
 * be written (a full disk, a reader that is gone or stuck) are lost: no answer and no shutdown waits for them.
 */
export function createLog(level: string, name: string): Log {
  const destination = pino.destination({ dest: STANDARD_ERROR, sync: false, maxLength: MAX_KEPT });
  destination.on('error', () => {});
  destination.flushSync = () => {}; // it would retry for ever, even at exit
  if (!isatty(STANDARD_ERROR)) return pino({ level, name }, destination);
  const render = createRenderer();
  const write = (line: string) => void destination.write(render(line));
  return pino({ level, name }, {
    write,
    flush: (done: () => void) => destination.flush(done),
  } as pino.DestinationStream);
}

/** Resolves when the lines so far are written, or soon if they cannot be. */
export async function flushLog(log: Log): Promise<void> {
  const flushed = new Promise<void>((resolve) => log.flush(() => resolve()));
  await Promise.race([flushed, sleep(500, undefined, { ref: false })]);
}

/** A line of JSON -> a readable one, in colours unless NO_COLOR or the terminal says otherwise. */
function createRenderer(): (line: string) => string {
  // Loaded only here: it slows the start, which only a terminal is worth.
  const { prettyFactory }: typeof import('pino-pretty') = createRequire(import.meta.url)('pino-pretty');
  const colorize = process.stderr.hasColors?.() ?? false;
  const render = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname', singleLine: true });
  return (line) => render(makeTextsVisible(JSON.parse(line)));
}

/**
 * Escapes control characters: text from callers gets into the log, and must neither control the terminal nor fake a
 * line.
 */
function makeTextsVisible(value: unknown, name = ''): unknown {
  if (typeof value === 'string') return name === 'stack' ? makeStackVisible(value) : makeVisible(value);
  if (Array.isArray(value)) return value.map((one) => makeTextsVisible(one));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, makeTextsVisible(inner, key)]));
}
