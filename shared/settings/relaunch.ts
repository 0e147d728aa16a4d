import { fileURLToPath } from 'node:url';

const MEGABYTE = 1024 * 1024;
const COMPILED = fileURLToPath(new URL('../../.cache/compile', import.meta.url));

/**
 * The environment with a limit on the freed memory that glibc keeps, and with a folder where Node keeps compiled
 * modules from one start to the next (if that cannot be written, Node silently does without). Undefined if there is a
 * limit already. Apart from the other settings, since it is read before anything slow is loaded.
 */
export function relaunchEnvironment(env: Record<string, string | undefined> = process.env) {
  if (env.MALLOC_TRIM_THRESHOLD_) return undefined;
  return { NODE_COMPILE_CACHE: COMPILED, ...env, MALLOC_TRIM_THRESHOLD_: String(MEGABYTE) };
}
