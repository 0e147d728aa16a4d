import { relaunchEnvironment } from '../settings/relaunch.ts';

/**
 * Imported for its effect, by a service's main.ts and before anything else. Replaces the process by one in which freed
 * memory returns to the system, V8 collects garbage early, and compiled modules are kept for the next start.
 *
 * By default glibc keeps the memory of the largest pictures for every thread: hundreds of megabytes after a few
 * thousand hostile files. V8 lets its young generation grow by tens of megabytes, and its old one to four times what
 * lives there. Under load the old one fills, since streams, and with them each picture that sharp decodes, outlive the
 * young one. Both can only be limited at the start of a process, so this one is replaced, under the same id, before it
 * has loaded anything.
 */
const V8_LIMITS = [
  '--max-semi-space-size=16', // MB
  '--heap-growing-percent=200', // the old generation may reach three times its live size
];

const environment = relaunchEnvironment();
if (environment && process.platform === 'linux') {
  const { execPath, execArgv, argv } = process;
  process.execve?.(execPath, [execPath, ...execArgv, ...V8_LIMITS, ...argv.slice(1)], environment);
}
