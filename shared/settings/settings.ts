import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cleanSettings, showSetting } from './clean.ts';
import { flag, level, list, origins, providers, splitList, whole } from './kinds.ts';
import { readCredentials, readServers } from './nats-url.ts';
import { nearest } from './nearest.ts';
import { makeVisible } from './visible.ts';

const megabyte = 1024 * 1024;
const cores = availableParallelism();

/**
 * Every setting of every service. Apart from `relaunch.ts`, this file is the only reader of `process.env`. An empty
 * setting counts as not set.
 */
export const settings = {
  HOST: z.string().toLowerCase().default('127.0.0.1').describe('address the HTTP server listens on'),
  PORT: whole(0, 65_535).default(8080).describe('its port; 0 takes a free one'),
  NATS_URL: z
    .string()
    .transform((addresses, context) => {
      try {
        return readServers(addresses);
      } catch (error) {
        context.addIssue((error as Error).message);
        return z.NEVER;
      }
    })
    .default('nats://127.0.0.1:4222')
    .describe('NATS servers, separated by commas (`npm start` needs none); `tls://host:port`: only over TLS'),
  LOG_LEVEL: level().default('info').describe('least severe message that is logged'),
  ASK_NATS_USER: z.string().optional().describe('user name at the NATS server'),
  ASK_NATS_PASSWORD: z.string().optional().describe('its password'),
  ASK_NATS_NKEY_FILE: z.string().optional().describe('file with the seed of an NKey, instead of name and password'),
  ASK_NATS_CREDS: z.string().optional().describe('file with NATS credentials (JWT and seed), instead of them'),
  ASK_NATS_CA: z
    .string()
    .optional()
    .describe("PEM file of the CAs the server's certificate may be from; default: Node's"),
  ASK_NATS_CERT: z.string().optional().describe('PEM file of a certificate to show to the server'),
  ASK_NATS_KEY: z.string().optional().describe('PEM file of its key'),
  ASK_NATS_INBOX: z
    .string()
    .regex(/^[^\s.*>]+(\.[^\s.*>]+)*$/, 'must be a subject without wildcards')
    .default('_INBOX_edge')
    .describe('where replies come to: the prefix that the server lets this edge subscribe'),
  ASK_API_KEYS_FILE: z.string().optional().describe('file of the API keys; with it HTTP callers must send one'),
  ASK_CORS_ORIGINS: origins()
    .default([])
    .describe('origins, separated by commas, whose pages may ask from a browser; default: only the own page'),
  ASK_ALLOW_ANONYMOUS: flag().default(false).describe('whether anyone may call although `HOST` is not loopback'),
  ASK_API_KEY: z
    .string()
    .regex(/^[!-~]+$/, 'must be visible characters without spaces')
    .optional()
    .describe('API key that `ask classify --url` sends'),
  ASK_MODELS_DIR: z
    .string()
    .default(fileURLToPath(new URL('../../models/default', import.meta.url)))
    .describe('folder of the bundle to serve'),
  ASK_MANIFEST_KEY: z
    .string()
    .optional()
    .describe('PEM file of the Ed25519 public keys, one of which must have signed the manifest; default: none must'),
  ASK_DEADLINE_MS: whole(1, 600_000).default(2000).describe('time for one answer, unless the request says otherwise'),
  ASK_MAX_BODY_BYTES: whole(1, 1024 * megabyte)
    .default(20 * megabyte)
    .describe('largest request body'),
  ASK_MAX_PIXELS: whole(1, 1e9)
    .default(50_000_000)
    .describe(
      'largest PNG, WebP or picture of pixels, width times height (JPEGs are shrunk while they are read); ' +
        'all decoding at once takes at most three bytes of memory for each',
    ),
  ASK_CACHE_BYTES: whole(0, 1024 * megabyte)
    .default(16 * megabyte)
    .describe('memory of the answer cache; 0: none'),
  ASK_CACHE_TTL_S: whole(1, 86_400).default(300).describe('age at which a cached answer is forgotten'),
  ASK_WORKERS: whole(1, 256).default(cores).describe('model processes of a service'),
  ASK_THREADS: whole(1, 256).default(1).describe('threads of onnxruntime in each of them'),
  ASK_EXECUTION_PROVIDERS: providers()
    .default(['cpu'])
    .describe('what onnxruntime may run models on, the preferred first: cuda, tensorrt, webgpu, coreml, dml, cpu'),
  ASK_EDGE_QUEUE: whole(1, 100_000).default(256).describe('requests the edge holds at once; one more is answered 429'),
  ASK_SECOND_CHOICE: flag()
    .default(true)
    .describe('whether the runner-up is asked when the first expert is absent, fails or is slow'),
  ASK_EXPERTS: list(/^[a-z0-9-]+$/, 'must be expert ids with commas between')
    .transform((ids) => ids.join(','))
    .optional()
    .describe('experts that this process hosts; default: all of the bundle'),
  ASK_HEALTH_PORT: whole(0, 65_535).optional().describe("port of the expert's health and metrics; default: none"),
  ASK_EXPERT_QUEUE: whole(1, 100_000).default(64).describe('requests an expert service holds at once'),
  ASK_EXPERT_MEMORY_MB: whole(1, 1_000_000)
    .default(512)
    .describe("memory for the experts' sessions in each model process"),
  ASK_BATCH_MAX: whole(1, 256)
    .optional()
    .describe('most pictures a model computes together, of those that wait anyway, where that saves time'),
  ASK_DRAIN_MS: whole(100, 600_000).default(10_000).describe('time to finish work after SIGTERM'),
};

const schema = z.object(settings);

export type Config = z.infer<typeof schema>;

export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Reads the environment. Throws ConfigError listing every mistake, including unknown `ASK_*` names. */
export function readConfig(env: Record<string, string | undefined> = process.env): Config {
  const isSetting = (name: string) => Object.hasOwn(settings, name);
  const { given, mistakes: unclean } = cleanSettings(env, isSetting);
  const { mistake, ...credentials } = readCredentials(given.NATS_URL ?? '');
  const all = { ...credentials, ...given };
  const parsed = schema.safeParse(all);
  const wrong = parsed.error?.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${showSetting(name, env[name])}: ${issue.message}`;
  });
  const unknown = Object.keys(given)
    .filter((name) => !isSetting(name))
    .map((name) => `${makeVisible(name, 100)}: there is no such setting${suggest(name)}`);
  const mistakes = [...unclean, ...(wrong ?? []), ...unknown, ...(mistake ? [mistake] : []), ...contradictions(all)];
  if (Object.entries(credentials).some(([name, value]) => all[name as keyof typeof credentials] !== value))
    mistakes.push(
      'NATS_URL, ASK_NATS_USER, ASK_NATS_PASSWORD: they contradict one another: give name and password once',
    );
  if (!parsed.success || mistakes.length > 0) {
    const lines = mistakes.map((line) => `  ${line}\n`).join('');
    throw new ConfigError(`the configuration has ${mistakes.length} mistake(s):\n${lines}`.trimEnd());
  }
  return parsed.data;
}

/** Nearly all names begin with `ASK_`, so only the rest is compared. */
function suggest(name: string): string {
  const ends = new Map(Object.keys(settings).map((one) => [one.replace(/^ASK_/, ''), one]));
  const [end = ''] = nearest(name.replace(/^ASK_/, ''), [...ends.keys()]);
  return ends.has(end) ? `; did you mean ${ends.get(end)}?` : '';
}

/** Finds settings that are valid alone but contradict each other. */
function contradictions(given: Record<string, string | undefined>): string[] {
  const set = (...names: (keyof typeof settings)[]) => names.filter((name) => given[name] !== undefined);
  const addresses = splitList(given.NATS_URL ?? '');
  const secure = addresses.filter((address) => /^tls:/i.test(address)).length;
  const mistakes: string[] = [];
  if (secure > 0 && secure < addresses.length) mistakes.push('NATS_URL: all addresses must be tls://, or none');
  const identities = set('ASK_NATS_USER', 'ASK_NATS_NKEY_FILE', 'ASK_NATS_CREDS');
  if (identities.length > 1) mistakes.push(`${identities.join(', ')}: only one of them can be used`);
  if (given.ASK_NATS_PASSWORD !== undefined && given.ASK_NATS_USER === undefined)
    mistakes.push('ASK_NATS_PASSWORD: needs ASK_NATS_USER');
  if (set('ASK_NATS_CERT', 'ASK_NATS_KEY').length === 1)
    mistakes.push('ASK_NATS_CERT, ASK_NATS_KEY: neither can be used without the other');
  if (secure === 0) {
    for (const name of set('ASK_NATS_CA', 'ASK_NATS_CERT', 'ASK_NATS_KEY'))
      mistakes.push(`${name}: needs tls:// addresses in NATS_URL`);
  }
  return mistakes;
}

/**
 * `ASK_BATCH_MAX` or its default, which `npm run -s bench:models` measured. Whether batches pay on this machine, the
 * pool learns.
 */
export function batchOf(config: Config, role: 'generalist' | 'expert'): number {
  const { ASK_BATCH_MAX, ASK_EXECUTION_PROVIDERS } = config;
  if (ASK_BATCH_MAX !== undefined) return ASK_BATCH_MAX;
  const [alone, accelerated] = role === 'generalist' ? [4, 8] : [2, 32];
  return ASK_EXECUTION_PROVIDERS[0] === 'cpu' ? alone : accelerated;
}

/**
 * The folder in which npm was called for the command line, since npm runs it in the repository's folder. Undefined if
 * npm did not start the process.
 */
export function callersFolder(env: Record<string, string | undefined> = process.env): string | undefined {
  return ['ask', 'eval'].includes(env.npm_lifecycle_event ?? '') ? env.INIT_CWD : undefined;
}

/** Drops a setting that makes OpenTelemetry write to the console, where only log lines belong. */
export function ignoreTelemetryLogLevel(): void {
  delete process.env.OTEL_LOG_LEVEL;
}

/** Whether an OpenTelemetry setting asks for traces. */
export function wantsTraces(env: Record<string, string | undefined> = process.env): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false;
  if (env.OTEL_TRACES_EXPORTER) return env.OTEL_TRACES_EXPORTER !== 'none';
  return Boolean(env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
}
