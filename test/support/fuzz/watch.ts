import type { ServiceProcess } from '../service.ts';
import type { Watched } from './cases.ts';
import { memoryOf } from './memory.ts';

const LIMIT_MB = 300;

interface Known {
  service: ServiceProcess;
  status: number | string | undefined;
  before: { now: number; peak: number };
  /** How much of the log has been looked at. */
  seen: number;
}

/** Watches processes: alive, without an error in the log, and with at most 300 MB more than when this began. */
export function watch(services: Record<string, ServiceProcess>): Watched {
  const known = Object.entries(services).map(([name, service]): [string, Known] => {
    const one: Known = { service, status: undefined, before: memoryOf(service.pid), seen: 0 };
    void service.exited.then((status) => {
      one.status = status;
    });
    return [name, one];
  });
  let spoilt = false;
  return {
    get spoilt() {
      return spoilt;
    },
    async inspect() {
      spoilt = true;
      for (const [name, one] of known) {
        const { service, status, before } = one;
        if (status !== undefined) throw new Error(`${name} ended with ${status}; its log:\n${service.log()}`);
        const log = service.log();
        const end = log.lastIndexOf('\n') + 1;
        const serious = log.slice(one.seen, end).split('\n').filter(isSerious);
        one.seen = end;
        if (serious.length > 0) throw new Error(`${name} logged:\n${serious.join('\n')}`);
        const extra = memoryOf(service.pid).peak - before.now;
        if (extra > LIMIT_MB)
          throw new Error(`${name} took ${Math.round(extra)} MB more, at most ${LIMIT_MB} are allowed`);
      }
      spoilt = false;
    },
    summary() {
      return known
        .map(([name, { service, before }]) => {
          const { now, peak } = memoryOf(service.pid);
          return `${name} at most +${Math.round(peak - before.now)} MB, at the end +${Math.round(now - before.now)} MB`;
        })
        .join('; ');
    },
  };
}

/** What did not come out of the logger is a crash on its way. */
function isSerious(line: string): boolean {
  if (line === '') return false;
  try {
    return JSON.parse(line).level >= 50;
  } catch {
    return true;
  }
}
