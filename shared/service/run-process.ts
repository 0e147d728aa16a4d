import { isatty } from 'node:tty';
import closeWithGrace from 'close-with-grace';
import { BundleError } from '../bundle/bundle-error.ts';
import { openNatsAccess } from '../bus/nats/access.ts';
import type { NatsOptions } from '../bus/nats/connection.ts';
import { createLog, flushLog, type Log } from '../observe/log.ts';
import { startTelemetry } from '../observe/telemetry.ts';
import { adviseSettings, flagsTakenByNpm } from '../settings/advice.ts';
import { helpText } from '../settings/help.ts';
import { type Config, ConfigError, readConfig } from '../settings/settings.ts';
import { makeLinesVisible } from '../settings/visible.ts';
import { aboutText } from './about.ts';
import { readArguments } from './arguments.ts';

/**
 * Runs one service as a process: `--help`, configuration, telemetry, start, and a stop on SIGTERM or SIGINT that has
 * `ASK_DRAIN_MS` to finish. An operator's mistake ends it with a message and status 1, without a stack; arguments,
 * which no service takes, with status 2.
 */
export async function runProcess(
  options: { name: string; usage: string },
  start: (config: Config, log: Log) => Promise<{ stop(): Promise<void> }>,
): Promise<void> {
  const { name, usage } = options;
  refuseArguments(name, usage);
  let config: Config | undefined;
  try {
    config = readConfig();
    const log = createLog(config.LOG_LEVEL, name);
    const telemetry = await startTelemetry(name, log);
    let stopping = false;
    let service: Promise<{ stop(): Promise<void> }> | undefined;
    const skip = ignoreHangUp();
    closeWithGrace({ delay: config.ASK_DRAIN_MS, logger: false, skip }, async ({ err, signal }) => {
      stopping = true;
      if (err) log.fatal({ err }, 'unexpected failure, stopping');
      else log.info({ signal }, 'stopping');
      await service?.then((running) => running.stop());
      await telemetry.stop();
      log.info('stopped');
      await flushLog(log);
    });
    service = start(config, log);
    service.catch(() => {});
    await service.catch((error) => {
      if (!stopping) throw error;
    });
  } catch (error) {
    process.stderr.write(`${name}: ${makeLinesVisible(explain(error, config))}\n`);
    process.exit(1);
  }
}

function refuseArguments(name: string, usage: string): void {
  const [command = ''] = usage.split(':');
  const advise = (args: string[]) => adviseSettings(command, args);
  readArguments({ name, help: () => helpText(usage), about: aboutText, advise }, [
    ...flagsTakenByNpm(),
    ...process.argv.slice(2),
  ]);
}

/**
 * Returns SIGHUP if it is to be ignored. It means that the terminal is gone, so without a terminal it means nothing.
 * `nohup`, which detaches the terminal, has it ignored; Node undoes that at its start, so it cannot be seen here.
 */
function ignoreHangUp(): 'SIGHUP'[] {
  if ([0, 1, 2].some((stream) => isatty(stream))) return [];
  process.on('SIGHUP', () => {});
  return ['SIGHUP'];
}

function explain(error: unknown, config: Config | undefined): string {
  if (error instanceof ConfigError) return error.message;
  if (error instanceof BundleError) return `ASK_MODELS_DIR=${config?.ASK_MODELS_DIR}: ${error.message}`;
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE')
    return `${error.message}: something else listens there; set PORT (or ASK_HEALTH_PORT) to another one`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `${error.message}: set HOST to a name or an address of this machine`;
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL')
    return `${error.message}: set HOST and PORT to what this machine allows`;
  return error.stack ?? error.message;
}

/** How to connect to the bus. Throws ConfigError if a file that the settings name cannot be used. */
export function natsOptions(config: Config, name: string, log: Log): NatsOptions {
  return { servers: config.NATS_URL.split(','), name, log, access: openNatsAccess(config, log) };
}
