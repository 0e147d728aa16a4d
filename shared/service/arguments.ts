import { type ParseArgsConfig, parseArgs } from 'node:util';
import { VERSION } from '../settings/version.ts';
import { makeVisible } from '../settings/visible.ts';

interface Program<T> {
  /** The beginning of its messages. */
  name: string;
  help(): string;
  /** What `--version` prints. Default: the version alone. */
  about?(): string;
  options?: T;
  allowPositionals?: boolean;
  /** Advice for arguments that it does not know. */
  advise?(args: string[]): string | undefined;
}

/**
 * Reads the command line. Ends the process after `--help` and `--version`, and with status 2 after unknown arguments.
 */
export function readArguments<T extends NonNullable<ParseArgsConfig['options']> = Record<never, never>>(
  { name, help, about = () => VERSION, options, allowPositionals = false, advise }: Program<T>,
  args: string[] = process.argv.slice(2),
) {
  if (args.some((arg) => arg === '--help' || arg === '-h')) end(process.stdout, help(), 0);
  if (args.includes('--version')) end(process.stdout, about(), 0);
  try {
    return parseArgs({ args, options: options ?? ({} as T), allowPositionals, strict: true });
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('. ');
    const shown = reason.replace(/=[^']*'/, "=...'"); // the value may be a password
    return refuse(name, [shown, advise?.(args)].filter(Boolean).join('; '));
  }
}

/** Ends the process with status 2: the command line is wrong. */
export function refuse(name: string, reason: string): never {
  return end(process.stderr, `${name}: ${makeVisible(reason, 1000)} (--help says what there is)`, 2);
}

function end(stream: NodeJS.WriteStream, text: string, status: number): never {
  stream.write(`${text.trimEnd()}\n`);
  process.exit(status);
}
