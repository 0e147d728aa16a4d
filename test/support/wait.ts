import { setTimeout as sleep } from 'node:timers/promises';

/** Polls until `condition` is true; fails naming what it waited for. An error thrown by `condition` ends it at once. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 20_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
    await sleep(20);
  }
}
