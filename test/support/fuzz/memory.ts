import { existsSync, readFileSync } from 'node:fs';

const available = existsSync('/proc/self/status');

/** Resident megabytes of a process and its children, and the most they ever had; 0 where there is no /proc. */
export function memoryOf(pid: number): { now: number; peak: number } {
  const sum = { now: 0, peak: 0 };
  if (!available) return sum;
  for (const one of [pid, ...childrenOf(pid)]) {
    const status = read(`/proc/${one}/status`);
    sum.now += kilobytes(status, 'VmRSS') / 1024;
    sum.peak += kilobytes(status, 'VmHWM') / 1024;
  }
  return sum;
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

function kilobytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);
}

/** A process that has gone is one without memory. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
