import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { createLog } from '../../shared/observe/log.ts';
import type { Config } from '../../shared/settings/settings.ts';
import { makeVisible } from '../../shared/settings/visible.ts';
import { type Answer, startSystem } from '../local/api.ts';
import { findPictures, STDIN } from './find-pictures.ts';
import { print } from './output.ts';
import { showProgress } from './progress.ts';
import { postPicture, ServiceError } from './remote.ts';
import { type RemoteOptions, toAddress, toRemote } from './remote-options.ts';
import { UsageError } from './usage.ts';

export interface ClassifyOptions extends RemoteOptions {
  strategy: string;
  threshold?: string;
  json?: true;
}

/**
 * Prints one answer per picture. Without `url` a whole system is started for them. Returns the exit status: 1 if a
 * picture could not be classified. Throws UsageError, InputError and OutputError.
 */
export async function classifyFiles(names: string[], options: ClassifyOptions, config: Config): Promise<number> {
  const query = new URLSearchParams({ strategy: options.strategy });
  const { threshold } = options;
  if (threshold !== undefined) {
    if (!(Number(threshold) >= 0 && Number(threshold) <= 1) || threshold.trim() === '') {
      throw new UsageError(`--threshold ${threshold} is not between 0 and 1`);
    }
    query.set('threshold', threshold);
  }
  const remote = await toRemote(options, query, config);
  const files = await findPictures(names);
  await using stack = new AsyncDisposableStack();
  const start = async () => {
    const system = await startLocal(config);
    stack.defer(() => system.stop());
    return { address: toAddress(system.url, query) };
  };
  const service = remote ?? (await start());
  using progress = showProgress(files.length, 'pictures');
  let answered = 0;
  let failed = 0;
  let inARow = 0; // consecutive failures of the service
  for (const file of files) {
    const answer = await read(file)
      .then((picture) => postPicture(service, picture))
      .catch((error: Error) => error);
    progress.step();
    progress.hide();
    if (!(answer instanceof Error)) {
      answered += 1;
      inARow = 0;
      await print(options.json ? `${JSON.stringify({ file, ...answer })}\n` : `${render(file, answer)}\n`);
      continue;
    }
    failed += 1;
    process.stderr.write(`${makeVisible(`${file}: ${answer.message}`)}\n`);
    inARow = answer instanceof ServiceError ? inARow + 1 : 0;
    if (inARow > 1 || (inARow > 0 && answered === 0)) break; // do not try the service with every picture
  }
  if (failed > 0 && files.length > 1) {
    const left = files.length - answered - failed;
    const rest = left > 0 ? `, ${left} were not sent` : '';
    process.stderr.write(`${failed} of ${files.length} pictures could not be classified${rest}\n`);
  }
  return failed > 0 ? 1 : 0;
}

function startLocal(config: Config) {
  const settings = { ...config, HOST: '127.0.0.1', PORT: 0, ASK_API_KEYS_FILE: undefined };
  return startSystem(settings, createLog('error', 'ask'), { near: true });
}

function read(file: string): Promise<Buffer<ArrayBuffer>> {
  return file === STDIN ? (buffer(process.stdin) as Promise<Buffer<ArrayBuffer>>) : readFile(file);
}

/** One answer for people: the label, the route and its reason, the runners-up. */
export function render(file: string, answer: Answer): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const { decision, timings } = answer;
  const others = answer.topK.slice(1, 4).map(({ label, confidence }) => `${label} ${percent(confidence)}`);
  // other strategies have other fields
  const { reason, metric, value, threshold }: Partial<Answer['decision']> = decision;
  const because = value === undefined ? reason : `${reason}, ${metric} ${value.toFixed(3)} against ${threshold}`;
  const route =
    answer.route === 'expert'
      ? `${answer.expert} (${because}; expert ${timings.expertRoundTripMs.toFixed(1)} ms, ${answer.bytesSent} bytes sent)`
      : `edge (${because}${answer.degraded ? `; degraded: ${answer.degraded}` : ''})`;
  return [
    `${file}: ${answer.label} ${percent(answer.confidence)}`,
    `  route   ${route}`,
    `  others  ${others.join(', ')}`,
    `  time    ${timings.totalMs.toFixed(1)} ms`,
  ]
    .map((line) => makeVisible(line))
    .join('\n');
}
