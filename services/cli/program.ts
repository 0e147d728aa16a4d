import { type Command, Option } from 'commander';
import { aboutText } from '../../shared/service/about.ts';
import { helpText } from '../../shared/settings/help.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { VERSION } from '../../shared/settings/version.ts';
import type { CalibrateOptions, numericOptions } from './calibrate/calibrate.ts';
import type { ClassifyOptions } from './classify.ts';
import type { EncodingsOptions } from './encodings.ts';
import type { EvalOptions } from './eval.ts';
import { evaluationNames } from './evaluation-names.ts';
import type { KeyOptions } from './key.ts';

const json = ['--json', 'print JSON'] as const;
const dryRun = ['--dry-run', 'write nothing'] as const;
const data = ['--data <path>', 'a folder of pictures for each class, or a file of CIFAR-100 records'] as const;
const limit = ['--limit <count>', 'use at most this many of the pictures'] as const;

/** Defines the verbs and their options. A verb's code is loaded when it runs, so that help is fast. */
export function defineProgram(program: Command): Command {
  program
    .name('npm run -s ask --')
    .description('Has pictures classified, and looks after bundles and keys.')
    .version(wantsVersion() ? aboutText() : VERSION)
    .showHelpAfterError('(--help shows what is possible)')
    .addHelpText('after', `\n${helpText('').trim()}`);

  for (const add of [addClassify, addEval, addCalibrate, addEncodings, addKey, addSign, addMigrate]) add(program);
  for (const verb of program.commands) {
    verb.addHelpText('after', '\nSettings from the environment: npm run -s ask -- --help');
  }
  return program;
}

/** The whole text takes reading the bundle. */
function wantsVersion(): boolean {
  return process.argv.includes('--version') || process.argv.includes('-V');
}

function addClassify(program: Command): void {
  program
    .command('classify')
    .summary('names what is in pictures, and the route each answer took')
    .description(
      'Names what is in each picture and the route its answer took, by a system started for it ' +
        'or by a running service.',
    )
    .argument('<picture...>', "files, folders, patterns in quotes ('photos/*.jpg'), - for standard input")
    .option('--strategy <name>', 'who may answer: a strategy of the bundle', 'ask')
    .option('--threshold <share>', "escalate answers less confident than this (default: the bundle's)")
    .option('--url <address>', 'ask a running service, http://HOST:PORT; its key comes from ASK_API_KEY')
    .option('--key-file <file>', 'or from this file')
    .option('--ca <file.pem>', 'trust also the certificates in it, for a service with one of its own making')
    .option('--timeout <seconds>', 'how long to wait for each answer of the service (default: 30)')
    .option(...json)
    .action(async (pictures: string[], options: ClassifyOptions) => {
      const { classifyFiles } = await import('./classify.ts');
      process.exitCode = await classifyFiles(pictures, options, readConfig());
    });
}

function addEval(program: Command): void {
  program
    .command('eval')
    .summary('accuracy and cost on pictures whose classes are known')
    .description("Accuracy and cost on pictures whose classes are known, by the services' own code.")
    .requiredOption(...data)
    .addOption(new Option('--strategy <name>', 'one of them; default: all').choices(evaluationNames))
    .option(...limit)
    .option('--json', 'print JSON, of one strategy (default: ask)')
    .action(async (options: EvalOptions) => {
      const { evaluate } = await import('./eval.ts');
      await evaluate(options, readConfig());
    });
}

function addCalibrate(program: Command): void {
  const calibration = program
    .command('calibrate')
    .summary("chooses the bundle's threshold for a goal")
    .description(
      "Chooses the bundle's threshold on the validation pictures held back for it, certifies what it reaches " +
        'and writes both into the manifest. Several goals are met together or not at all.',
    );
  for (const [name, meaning] of Object.entries(meanings)) calibration.option(`--${name} <number>`, meaning);
  calibration
    .option('--metric <name>', "the measure that the threshold applies to, or best (default: the bundle's)")
    .option(...dryRun)
    .option(...json)
    .action(async () => {
      const { calibrate } = await import('./calibrate/calibrate.ts');
      process.exitCode = await calibrate(byLongNames(calibration), readConfig().ASK_MODELS_DIR);
    });
}

function addEncodings(program: Command): void {
  program
    .command('encodings')
    .summary('chooses how pictures travel to experts')
    .description(
      'Chooses how pictures travel to experts: the fewest bytes within an accepted loss of accuracy, measured on a ' +
        'folder of pictures for each class, or on the validation pictures in the CIFAR-100 records that the bundle ' +
        'was trained on.',
    )
    .requiredOption(...data)
    .option('--max-loss <share>', 'largest accepted loss of accuracy', '0.002')
    .option(...limit)
    .option(...dryRun)
    .option(...json)
    .action(async (options: EncodingsOptions) => {
      const { chooseEncoding } = await import('./encodings.ts');
      await chooseEncoding(options, readConfig());
    });
}

function addKey(program: Command): void {
  program
    .command('key')
    .summary('makes an API key')
    .description(
      'Makes an API key and prints it; the line with its sha256 is for the file that ASK_API_KEYS_FILE names.',
    )
    .argument('<name>', 'whose it is')
    .option('--limit <number>', 'answer at most this many requests a second')
    .option('--to <file>', 'add the line there')
    .action(async (name: string, options: KeyOptions) => {
      const { makeKey } = await import('./key.ts');
      await makeKey(name, options);
    });
}

function addSign(program: Command): void {
  program
    .command('sign')
    .summary("signs the bundle's manifest")
    .description(
      "Signs the bundle's manifest, for services that are given the public key (ASK_MANIFEST_KEY); " +
        'calibrate and encodings rewrite the manifest and remove its signature.',
    )
    .requiredOption('--key <private.pem>', 'an Ed25519 private key')
    .option('--models <folder>', "the bundle (default: the settings')")
    .action(async ({ key, models }: { key: string; models?: string }) => {
      const { sign } = await import('./sign.ts');
      await sign(key, models ?? readConfig().ASK_MODELS_DIR);
    });
}

function addMigrate(program: Command): void {
  program
    .command('migrate')
    .summary("rewrites the bundle's manifest in the newest version")
    .description(
      "Rewrites the bundle's manifest in the newest version; it says the same. Its signature is removed, since it " +
        'was of other bytes. Services read older versions as well.',
    )
    .option('--models <folder>', "the bundle (default: the settings')")
    .action(async ({ models }: { models?: string }) => {
      const { migrate } = await import('./migrate.ts');
      await migrate(models ?? readConfig().ASK_MODELS_DIR);
    });
}

const meanings: Record<(typeof numericOptions)[number], string> = {
  'target-accuracy': 'goal: at least this share of the answers is right',
  'max-escalation': 'goal: at most this share of the pictures is escalated',
  'max-latency': 'goal: at most this many ms per picture, on average',
  'max-energy': 'goal: at most this many joules per picture, on average',
  delta: 'accepted probability that the certificate is wrong (default: 0.05)',
  'edge-ms': 'time of the generalist (default: measured)',
  'expert-ms': 'time of an expert (default: measured)',
  'network-ms': 'time on the way to it and back (default: 0)',
  'edge-watts': 'what the edge draws at work',
  'expert-watts': "what the expert's machine draws at work",
  'network-joules': 'what sending one picture takes (default: 0)',
};

function byLongNames(command: Command): CalibrateOptions {
  const entries = command.options.map((option) => [option.name(), command.getOptionValue(option.attributeName())]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
