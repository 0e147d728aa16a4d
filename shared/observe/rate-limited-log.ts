import type { Log } from './log.ts';

interface LogLimits {
  /** How many lines of a kind are written before the limit applies. */
  atOnce?: number;
  /** Pause between later lines of a kind; doubled each time while they go on. */
  firstMs?: number;
  mostMs?: number;
}

/** Writes a line or counts it. Lines of one `kind` are limited together. */
export type RateLimitedLog = (level: 'info' | 'warn' | 'error', kind: string, fields: object, message: string) => void;

interface Kind {
  atOnce: number;
  pauseMs: number;
  leftOut: number;
  latest: () => void;
}

const MAX_KINDS = 500;

/**
 * A log that repeated events cannot fill. The first lines of each kind are written at once. After that only the latest
 * is written after each pause, with the number of lines left out before it.
 */
export function rateLimited(
  log: Log,
  { atOnce = 1, firstMs = 60_000, mostMs = 600_000 }: LogLimits = {},
): RateLimitedLog {
  const kinds = new Map<string, Kind>();

  function rest(name: string, kind: Kind): void {
    const wake = () => {
      if (kind.leftOut === 0) return void kinds.delete(name);
      kind.latest();
      Object.assign(kind, { leftOut: 0, pauseMs: Math.min(mostMs, 2 * kind.pauseMs) });
      rest(name, kind);
    };
    setTimeout(wake, kind.pauseMs).unref();
  }

  return (level, name, fields, message) => {
    let kind = kinds.get(name);
    if (!kind) {
      if (kinds.size >= MAX_KINDS) return;
      kind = { atOnce, pauseMs: firstMs, leftOut: 0, latest: () => {} };
      kinds.set(name, kind);
      rest(name, kind);
    }
    if (kind.atOnce > 0) {
      kind.atOnce -= 1;
      log[level](fields, message);
      return;
    }
    const leftOut = kind.leftOut;
    kind.leftOut += 1;
    kind.latest = () => log[level]({ ...fields, leftOut }, message);
  };
}
