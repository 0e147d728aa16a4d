import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Config } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import type { Answer } from '../edge/classify.ts';
import { startSystem } from '../local/system.ts';
import { UsageError } from './usage.ts';

export interface ClassifyArguments {
  strategy: string;
  threshold?: string | undefined;
  url?: string | undefined;
  json: boolean;
}

const types: Record<string, string> = { '.png': 'image/png', '.webp': 'image/webp' };

/**
 * Prints one answer per file; without `url` the whole system is started for it. Returns the exit status: 1 if a file
 * could not be classified. Throws UsageError.
 */
export async function classifyFiles(files: string[], options: ClassifyArguments, config: Config): Promise<number> {
  if (files.length === 0) throw new UsageError('classify needs at least one image file');
  const query = new URLSearchParams({ strategy: options.strategy });
  if (options.threshold !== undefined) query.set('threshold', options.threshold);
  const quiet = { ...config, HOST: '127.0.0.1', PORT: 0, ASK_API_KEYS_FILE: undefined };
  const system = options.url ? undefined : await startSystem(quiet, createLog('error', 'ask'), { near: true });
  const address = `${(options.url ?? system?.url)?.replace(/\/+$/, '')}/classify?${query}`;
  const key = options.url ? config.ASK_API_KEY : undefined;
  let failures = 0;
  try {
    for (const file of files) {
      try {
        const answer = await post(address, file, key);
        process.stdout.write(options.json ? `${JSON.stringify({ file, ...answer })}\n` : `${render(file, answer)}\n`);
      } catch (error) {
        failures += 1;
        process.stderr.write(`${file}: ${(error as Error).message}\n`);
      }
    }
  } finally {
    await system?.stop();
  }
  return failures > 0 ? 1 : 0;
}

async function post(address: string, file: string, key: string | undefined): Promise<Answer> {
  const body = await readFile(file);
  const headers = {
    'content-type': types[extname(file).toLowerCase()] ?? 'image/jpeg',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  const response = await fetch(address, { method: 'POST', headers, body }).catch((error: Error) => {
    throw new Error(`${address} does not answer: ${(error.cause as Error | undefined)?.message ?? error.message}`);
  });
  const content = (await response.json()) as Answer & { code?: string; detail?: string };
  if (!response.ok) throw new Error(`${response.status} ${content.code}: ${content.detail}`);
  return content;
}

/** One answer for people: the label, the route and why, the runners-up. */
export function render(file: string, answer: Answer): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const { decision, timings } = answer;
  const others = answer.topK.slice(1, 4).map(({ label, confidence }) => `${label} ${percent(confidence)}`);
  const because = `${decision.reason}, ${decision.metric} ${decision.value.toFixed(3)} against ${decision.threshold}`;
  const route =
    answer.route === 'expert'
      ? `${answer.expert} (${because}; expert ${timings.expertRoundTripMs.toFixed(1)} ms, ${answer.bytesSent} bytes sent)`
      : `edge (${because}${answer.degraded ? `; degraded: ${answer.degraded}` : ''})`;
  return [
    `${file}: ${answer.label} ${percent(answer.confidence)}`,
    `  route   ${route}`,
    `  others  ${others.join(', ')}`,
    `  time    ${timings.totalMs.toFixed(1)} ms`,
  ].join('\n');
}
