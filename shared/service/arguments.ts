import { type ParseArgsConfig, parseArgs } from 'node:util';
import { VERSION } from '../settings/version.ts';
import { makeVisible } from '../settings/visible.ts';

interface Program<T> {
  /** Begins its messages. */
  name: string;
  help(): string;
  /** What `--version` prints. Default: the version alone. */
  about?(): string;
  options?: T;
  allowPositionals?: boolean;
  /** What to do instead of giving it arguments that it does not know. */
  advise?(args: string[]): string | undefined;
}

/**
 * What a program was called with. Ends the process after `--help` and `--version`, and with status 2 after arguments
 * that the program does not know.
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
    const shown = reason.replace(/=[^']*'/, "=...'"); // it may be a password
    return refuse(name, [shown, advise?.(args)].filter(Boolean).join('; '));
  }
}

/** Ends the process with status 2: what it was called with makes no sense. */
export function refuse(name: string, reason: string): never {
  return end(process.stderr, `${name}: ${makeVisible(reason, 1000)} (--help says what there is)`, 2);
}

function end(stream: NodeJS.WriteStream, text: string, status: number): never {
  stream.write(`${text.trimEnd()}\n`);
  process.exit(status);
}
