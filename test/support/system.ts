import { startEdge } from '../../services/edge/service.ts';
import { type AnyStrategy, strategies as shipped } from '../../services/edge/strategies/list.ts';
import { type ExpertService, startExpert } from '../../services/expert/service.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { settingsKinds } from '../../shared/bundle/strategies.ts';
import { createMemoryBus } from '../../shared/bus/memory.ts';
import { createLog, type Log } from '../../shared/observe/log.ts';
import { type Config, readConfig } from '../../shared/settings/settings.ts';
import { buses, type TwoEnds } from './buses.ts';
import { makeTinyBundle, type TinyOptions } from './tiny-bundle.ts';

export interface SystemOptions extends TinyOptions {
  env?: Record<string, string>;
  /** Default: both. */
  experts?: string | null;
  open?: () => Promise<TwoEnds>;
  /** Default: none. */
  log?: Log;
  /** Further ones that the bundle may set. */
  strategies?: AnyStrategy[];
}

/** Edge and, unless `experts` is null, experts in this process on a tiny bundle. */
export async function startTinySystem(options: SystemOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const files = stack.use(await makeTinyBundle(options));
  const log = options.log ?? createLog('silent', 'test');
  const env = { PORT: '0', ASK_WORKERS: '1', ASK_MODELS_DIR: files.directory, ...options.env };
  const config: Config = readConfig(options.experts ? { ...env, ASK_EXPERTS: options.experts } : env);
  const further = options.strategies ?? [];
  const kinds = { ...settingsKinds, ...Object.fromEntries(further.map(({ kind, settings }) => [kind, settings])) };
  const bundle = await loadBundle(files.directory, undefined, kinds);
  const ends = stack.use(await (options.open ?? openMemory)());
  const edge = await startEdge({ bus: ends.asker, bundle, config, log, strategies: [...shipped, ...further] });
  let experts: ExpertService | undefined;
  stack.defer(async () => {
    await edge.stop();
    await experts?.stop();
  });
  experts = options.experts === null ? undefined : await startExpert({ bus: ends.answerer, bundle, config, log });
  await ends.settled();
  const running = stack.move();
  return {
    url: edge.url,
    edge,
    experts,
    bundle,
    answerer: ends.answerer,
    settled: ends.settled,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function openMemory(): Promise<TwoEnds> {
  const bus = createMemoryBus();
  return { asker: bus, answerer: bus, settled: async () => {}, [Symbol.asyncDispose]: () => bus.close() };
}

export { buses };
