import { readdirSync, readFileSync } from 'node:fs';

export interface Resources {
  files: number;
  threads: number;
  rssMb: number;
}

/** What a process holds, without its children (Linux). */
export function resourcesOf(pid: number): Resources {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  return {
    files: readdirSync(`/proc/${pid}/fd`).length,
    threads: field('Threads'),
    rssMb: field('VmRSS') / 1024,
  };
}

/** Its child processes, for services these are the ones that run models. */
export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
}
