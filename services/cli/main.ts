import { Command, CommanderError } from 'commander';
import { BundleError } from '../../shared/bundle/bundle-error.ts';
import { ModelFailed } from '../../shared/inference/model-process.ts';
import { AppError } from '../../shared/request/errors.ts';
import { ConfigError, callersFolder, readConfig } from '../../shared/settings/settings.ts';
import { makeLinesVisible } from '../../shared/settings/visible.ts';
import { OutputError, print } from './output.ts';
import { defineProgram } from './program.ts';
import { InputError, UsageError } from './usage.ts';

/** Exit status of a program that a closed pipe ended, as shells report it: 128 and the number of SIGPIPE. */
const PIPE_STATUS = 141;

const ours = [AppError, BundleError, ConfigError, InputError, ModelFailed, OutputError];
const plain = ['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR', 'ENOSPC', 'EROFS', 'EPERM'];

let help = '';
const program = defineProgram(
  new Command().exitOverride().configureOutput({
    writeOut: (text) => {
      help += text;
    },
    outputError: (text, write) => write(text.replace(/^error: /, 'ask: ')),
  }),
);

process.chdir(callersFolder() ?? '.'); // relative paths start there

try {
  await program.parseAsync().catch(async (error) => {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    await print(help);
  });
} catch (error) {
  process.exitCode = report(error as Error);
}

/** Reports what went wrong, with a stack only if it is this program's fault. Returns the exit status. */
function report(error: Error): number {
  if (error instanceof UsageError) {
    process.stderr.write(`ask: ${makeLinesVisible(error.message)}\n(--help shows what is possible)\n`);
    return 2;
  }
  if (error instanceof OutputError && error.quiet) return PIPE_STATUS;
  const known =
    ours.some((kind) => error instanceof kind) || plain.includes((error as NodeJS.ErrnoException).code ?? '');
  const setting = error instanceof BundleError && !process.argv.includes('--models') ? whichBundle() : '';
  process.stderr.write(`ask: ${makeLinesVisible(`${setting}${known ? error.message : error.stack}`)}\n`);
  return 1;
}

/** The setting that names the bundle, to begin a message. */
function whichBundle(): string {
  return `ASK_MODELS_DIR=${readConfig().ASK_MODELS_DIR}: `;
}
