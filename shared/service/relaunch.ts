import { relaunchEnvironment } from '../settings/relaunch.ts';

/**
 * Imported by a service's main.ts, alone, for its effect: memory that decoding gave back goes to the system, V8
 * collects garbage before it piles up, and compiled modules are kept for the next start.
 *
 * Left alone, glibc keeps for every thread what the largest pictures took, hundreds of megabytes in all after a few
 * thousand hostile files, and V8 lets its young generation grow by tens of megabytes and its old one to four times what
 * lives there; streams, and with them each picture that sharp decodes, outlive the young one, so that is filled under
 * load. Both are told otherwise only at the start of a process, so this one starts anew, under the same id, before it
 * has loaded anything.
 */
const V8_LIMITS = [
  '--max-semi-space-size=16', // MB
  '--heap-growing-percent=200', // the old generation may reach three times what lives
];

const environment = relaunchEnvironment();
if (environment && process.platform === 'linux') {
  const { execPath, execArgv, argv } = process;
  process.execve?.(execPath, [execPath, ...execArgv, ...V8_LIMITS, ...argv.slice(1)], environment);
}
