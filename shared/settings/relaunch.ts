import { fileURLToPath } from 'node:url';

const MEGABYTE = 1024 * 1024;
const COMPILED = fileURLToPath(new URL('../.cache/compile', import.meta.url));

/**
 * The environment with glibc's limit on the freed memory that it keeps, and with a folder where Node keeps modules
 * compiled from one start to the next (where that cannot be written it does without, and says nothing); undefined if
 * there is a limit already. Apart from the other settings, since it is read before anything is loaded that takes time.
 */
export function relaunchEnvironment(env: Record<string, string | undefined> = process.env) {
  if (env.MALLOC_TRIM_THRESHOLD_) return undefined;
  return { NODE_COMPILE_CACHE: COMPILED, ...env, MALLOC_TRIM_THRESHOLD_: String(MEGABYTE) };
}
