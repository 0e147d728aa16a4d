import { frugalEnvironment } from './config.ts';

/**
 * Imported by a service's main.ts before anything else, for its effect: memory that decoding gave back goes to the
 * system.
 *
 * Left alone, glibc keeps for every thread what the largest pictures took, hundreds of megabytes in all after a few
 * thousand hostile files. It is told otherwise only at the start of a process, so this one starts anew, under the same
 * id, before it has loaded anything.
 */
const environment = frugalEnvironment();
if (environment && process.platform === 'linux') {
  const { execPath, execArgv, argv } = process;
  process.execve?.(execPath, [execPath, ...execArgv, ...argv.slice(1)], environment);
}
