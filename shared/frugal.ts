import { frugalEnvironment } from './config.ts';

/**
 * Imported by a service's main.ts before anything else, for its effect: memory that decoding gave back goes to the
 * system, and V8 does not let short-lived objects pile up.
 *
 * Left alone, glibc keeps for every thread what the largest pictures took, hundreds of megabytes in all after a few
 * thousand hostile files, and V8 lets its young generation grow by tens. Both are told otherwise only at the start of a
 * process, so this one starts anew, under the same id, before it has loaded anything.
 */
const YOUNG_GENERATION = '--max-semi-space-size=16'; // MB

const environment = frugalEnvironment();
if (environment && process.platform === 'linux') {
  const { execPath, execArgv, argv } = process;
  process.execve?.(execPath, [execPath, ...execArgv, YOUNG_GENERATION, ...argv.slice(1)], environment);
}
