import { parseArgs } from 'node:util';
import { ConfigError, helpText, readConfig } from '../../shared/config.ts';
import { AppError } from '../../shared/errors.ts';
import { ModelFailed } from '../../shared/inference.process.ts';
import { BundleError } from '../../shared/manifest.ts';
import { strategyNames } from '../edge/strategies.ts';
import { calibrate, numericOptions } from './calibrate/calibrate.ts';
import { classifyFiles } from './classify.ts';
import { chooseEncoding } from './encodings.ts';
import { evaluate, evaluationNames } from './eval.ts';
import { makeKey } from './key.ts';
import { sign } from './sign.ts';
import { UsageError } from './usage.ts';

const usage = `npm run -s ask -- classify FILE... [--strategy ${strategyNames.join('|')}] [--threshold 0..1] [--url http://HOST:PORT] [--json]
npm run -s ask -- calibrate --target-accuracy A | --max-escalation E | --max-latency MS | --max-energy J [--delta 0.05] [--metric NAME|best] [--dry-run] [--json]
    [--edge-ms N] [--expert-ms N] [--network-ms N] [--edge-watts N] [--expert-watts N] [--network-joules N]
npm run -s ask -- encodings --data FILE.bin [--max-loss 0.002] [--limit N] [--dry-run] [--json]
npm run -s ask -- key NAME [--limit N] [--to FILE]
npm run -s ask -- sign [--models DIR] --key PRIVATE.pem
npm run -s eval -- --data FILE.bin [--strategy ${evaluationNames.join('|')}] [--limit N] [--json]

classify  names what is in each image file and the route its answer took; with --url by asking a running service,
          which gets the key ASK_API_KEY
calibrate chooses the bundle's threshold on the validation pictures held back for it, and certifies what it reaches;
          --metric also what the threshold is of, without it the bundle's metric stays, as does the router;
          --max-latency and --max-energy are means per picture; several goals are met together or not at all
encodings chooses how pictures travel to experts: the fewest bytes that cost at most so much accuracy, measured on the
          validation pictures in the records that the bundle was trained on
key       makes an API key and prints it; the line with its sha256 is for the file ASK_API_KEYS_FILE, --to adds it there;
          with --limit at most N requests a second are answered
sign      signs the bundle's manifest, for services that are given the public key (ASK_MANIFEST_KEY); calibrate and
          encodings rewrite the manifest and remove its signature
eval      accuracy and cost on CIFAR-100 binary records, by the services' own code; without --strategy: of all`;

async function main(): Promise<number> {
  const [verb, ...rest] = process.argv.slice(2);
  if (verb === undefined || process.argv.includes('--help')) {
    process.stdout.write(helpText(usage));
    return verb === undefined ? 2 : 0;
  }
  const text = { type: 'string' } as const;
  const json = { type: 'boolean', default: false } as const;
  if (verb === 'classify') {
    const options = { strategy: { ...text, default: 'ask' }, threshold: text, url: text, json };
    const { values, positionals } = parseArgs({ args: rest, options, allowPositionals: true });
    return classifyFiles(positionals, values, readConfig());
  }
  if (verb === 'calibrate') {
    const numbers = Object.fromEntries(numericOptions.map((name) => [name, text]));
    const options = numbers as Record<(typeof numericOptions)[number], typeof text>;
    const { values } = parseArgs({ args: rest, options: { ...options, metric: text, json, 'dry-run': json } });
    return calibrate(values, readConfig().ASK_MODELS_DIR);
  }
  if (verb === 'encodings') {
    const options = { data: text, 'max-loss': { ...text, default: '0.002' }, limit: text, 'dry-run': json, json };
    const { values } = parseArgs({ args: rest, options });
    return chooseEncoding(values, readConfig().ASK_MODELS_DIR);
  }
  if (verb === 'key') {
    const { values, positionals } = parseArgs({
      args: rest,
      options: { limit: text, to: text },
      allowPositionals: true,
    });
    return makeKey(positionals, values);
  }
  if (verb === 'sign') {
    const { values } = parseArgs({ args: rest, options: { models: text, key: text } });
    await sign(values.key, values.models ?? readConfig().ASK_MODELS_DIR);
    return 0;
  }
  if (verb === 'eval') {
    const { values } = parseArgs({ args: rest, options: { data: text, strategy: text, limit: text, json } });
    await evaluate(values, readConfig());
    return 0;
  }
  throw new UsageError(`there is no verb '${verb}'`);
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException;
  if (error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`ask: ${message}\n\n${usage}\n`);
    process.exitCode = 2;
  } else {
    const ours = [AppError, BundleError, ConfigError, ModelFailed].some((kind) => error instanceof kind);
    const known = ours || ['ENOENT', 'EACCES', 'EISDIR'].includes(code ?? '');
    process.stderr.write(`ask: ${known ? message : (error as Error).stack}\n`);
    process.exitCode = 1;
  }
}
