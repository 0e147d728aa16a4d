import closeWithGrace from 'close-with-grace';
import type { NatsOptions } from './bus-nats.ts';
import { type Config, ConfigError, helpText, readConfig } from './config.ts';
import { createLog, flushLog, type Log } from './log.ts';
import { BundleError } from './manifest.ts';
import { openNatsAccess } from './nats-access.ts';
import { startTelemetry } from './telemetry.ts';

/**
 * Runs one service as a process: `--help`, configuration, telemetry, start, and a stop on SIGTERM or SIGINT that has
 * `ASK_DRAIN_MS` to finish. A mistake of the operator ends it with a message and status 1, without a stack.
 */
export async function runProcess(
  options: { name: string; usage: string },
  start: (config: Config, log: Log) => Promise<{ stop(): Promise<void> }>,
): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(helpText(options.usage));
    return;
  }
  try {
    const config = readConfig();
    const log = createLog(config.LOG_LEVEL, options.name);
    const telemetry = await startTelemetry(options.name, log);
    let stopping = false;
    let service: Promise<{ stop(): Promise<void> }> | undefined;
    closeWithGrace({ delay: config.ASK_DRAIN_MS, logger: false }, async ({ err, signal }) => {
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
    process.stderr.write(`${options.name}: ${explain(error)}\n`);
    process.exit(1);
  }
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof BundleError) return error.message;
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

/** Where and how to join the bus. Throws ConfigError if a file that the settings name cannot be used. */
export function natsOptions(config: Config, name: string, log: Log): NatsOptions {
  return { servers: config.NATS_URL.split(','), name, log, access: openNatsAccess(config, log) };
}
