import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '../../shared/bus.ts';
import type { Log } from '../../shared/log.ts';
import type { Directory } from './directory.ts';

/** Experts that start beside this edge. */
export interface Arrivals {
  /** It has not been seen since the start, and may still come. */
  expects(expert: string): boolean;
  /**
   * True once one of those expected among `experts` has come, or is expected no more; false after `waitMs`, or if
   * aborted.
   */
  wait(experts: string[], waitMs: number, signal: AbortSignal): Promise<boolean>;
  stop(): void;
}

export interface ArrivalsOptions {
  bus: Bus;
  directory: Directory;
  /** Who may come. */
  experts: string[];
  /** For how long they are expected, from now on and again from the first connection to the bus. */
  graceMs: number;
  log: Log;
}

const PAUSE_MS = 20;

/** Looks who is there until all have come, or for so long: for one that is away for good, nobody waits after that. */
export function watchArrivals({ bus, directory, experts, graceMs, log }: ArrivalsOptions): Arrivals {
  const missing = new Set(experts);
  let until = performance.now() + graceMs;
  let changed = Promise.withResolvers<void>();
  let stopped = false;
  const expects = (expert: string) => !stopped && missing.has(expert) && performance.now() < until;

  async function watch(): Promise<void> {
    until = performance.now() + graceMs;
    while ([...missing].some(expects)) {
      const come = (await directory.look()).filter(({ expert }) => missing.delete(expert));
      if (come.length > 0) {
        changed.resolve();
        changed = Promise.withResolvers();
      }
      await sleep(PAUSE_MS, undefined, { ref: false });
    }
    if (missing.size === 0 || stopped) return;
    log.warn({ missing: [...missing] }, 'experts are missing: answers do not wait for them any more');
  }

  void bus.opened.then(watch);
  return {
    expects,
    async wait(asked, waitMs, signal) {
      const awaited = asked.filter(expects);
      const end = performance.now() + waitMs;
      while (awaited.length > 0 && awaited.every(expects)) {
        const left = Math.min(end, until) - performance.now();
        if (performance.now() >= end || signal.aborted) return false;
        await Promise.race([changed.promise, sleep(Math.max(1, left), undefined, { signal, ref: false })]).catch(
          () => {},
        );
      }
      return true;
    },
    stop() {
      stopped = true;
    },
  };
}
