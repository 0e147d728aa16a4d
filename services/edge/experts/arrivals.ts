import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '../../../shared/bus/bus.ts';
import type { Log } from '../../../shared/observe/log.ts';
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
  /** Nobody is expected any more. */
  stop(): void;
}

export interface ArrivalsOptions {
  bus: Bus;
  directory: Directory;
  /** Who may come: one that runs another model under the same name is another one. */
  experts: { id: string; sha256: string }[];
  /** For how long they are expected, from now on and again from the first connection to the bus. */
  graceMs: number;
  log: Log;
}

const PAUSE_MS = 20;

/** Looks who is there until all have come, or for so long: for one that is away for good, nobody waits after that. */
export function watchArrivals({ bus, directory, experts, graceMs, log }: ArrivalsOptions): Arrivals {
  const missing = new Map(experts.map(({ id, sha256 }) => [id, sha256]));
  let until = performance.now() + graceMs;
  let changed = Promise.withResolvers<void>();
  let stopped = false;
  const expects = (expert: string) => !stopped && missing.has(expert) && performance.now() < until;

  function tell(): void {
    changed.resolve();
    changed = Promise.withResolvers();
  }

  async function watch(): Promise<void> {
    until = performance.now() + graceMs;
    while ([...missing.keys()].some(expects)) {
      const there = (await directory.list()).filter(({ expert, digest }) => missing.get(expert) === digest);
      for (const { expert } of there) missing.delete(expert);
      if (there.length > 0) tell();
      await sleep(PAUSE_MS, undefined, { ref: false });
    }
    if (missing.size === 0 || stopped) return;
    log.warn({ missing: [...missing.keys()] }, 'experts are missing: answers do not wait for them any more');
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
      tell();
    },
  };
}
