import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '../../../shared/bus/bus.ts';
import type { Log } from '../../../shared/observe/log.ts';
import type { Directory } from './directory.ts';

/** Experts that start at the same time as this edge. */
export interface Arrivals {
  /** The expert has not been seen since the start and may still come. */
  expects(expert: string): boolean;
  /** True once an expected one of `experts` has come or is given up. False after `waitMs`, or if aborted. */
  wait(experts: string[], waitMs: number, signal: AbortSignal): Promise<boolean>;
  /** Gives up all that have not come. */
  stop(): void;
}

interface ArrivalsOptions {
  bus: Bus;
  directory: Directory;
  /** Who may come. An expert with another model under the same id does not count. */
  experts: { id: string; sha256: string }[];
  /** How long to expect them, counted from now and again from the first connection to the bus. */
  graceMs: number;
  log: Log;
}

const PAUSE_MS = 20;

/** Polls the directory until all have come or `graceMs` is over. After that nobody waits for one that is absent. */
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
