import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnHttp } from '../support/service.ts';
import { load } from './child.ts';
import { PICTURES } from './pictures.ts';
import { round } from './statistics.ts';

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string } }[];
  samples: number[];
  timeDeltas: number[];
}

export interface ProfileRow {
  where: string;
  /** Of the main process's own time while it answered, per answer. */
  msPerAnswer: number;
  share: number;
}

/**
 * Where the main process spends its time when the edge is saturated: self time by part, from V8's sampling profiler.
 */
export async function profile(bundle: string, seconds: number): Promise<ProfileRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ask-profile-'));
  try {
    const options = `--cpu-prof --cpu-prof-dir=${folder} --cpu-prof-interval=200`;
    await using service = await spawnHttp('edge', {
      ASK_MODELS_DIR: bundle,
      ASK_CACHE_BYTES: '0',
      LOG_LEVEL: 'info',
      NATS_URL: 'nats://127.0.0.1:9',
      NODE_OPTIONS: options,
    });
    const spec = { clients: 16, seconds, warmUpSeconds: 1, picture: PICTURES['png-32'], repeat: 0 };
    const { answers } = await load({ ...spec, url: service.url, path: '/classify?strategy=edge' });
    service.kill('SIGTERM');
    await service.exited;
    // The process is replaced under its id (`shared/service/relaunch.ts`): the later profile counts, by its name.
    const file = (await readdir(folder))
      .filter((name) => name.includes(`.${service.pid}.`))
      .sort()
      .at(-1);
    const recorded: CpuProfile = JSON.parse(await readFile(join(folder, file as string), 'utf8'));
    return summarise(recorded, answers * ((seconds + 1) / seconds));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function summarise({ nodes, samples, timeDeltas }: CpuProfile, answers: number): ProfileRow[] {
  const parts = new Map(nodes.map(({ id, callFrame }) => [id, partOf(callFrame.functionName, callFrame.url)]));
  const spent = new Map<string, number>();
  samples.forEach((id, i) => {
    const part = parts.get(id) as string;
    if (part !== 'idle') spent.set(part, (spent.get(part) ?? 0) + (timeDeltas[i] as number) / 1000);
  });
  const total = [...spent.values()].reduce((sum, ms) => sum + ms, 0);
  return [...spent]
    .sort((a, b) => b[1] - a[1])
    .map(([where, ms]) => ({ where, msPerAnswer: round(ms / answers), share: round(ms / total) }));
}

function partOf(name: string, url: string): string {
  if (name === '(idle)') return 'idle';
  if (name === '(garbage collector)') return 'garbage collection';
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (dependency) return dependency;
  const own = /\/(services|shared)\/(.+)$/.exec(url);
  if (own) return `${own[1]}/${own[2]}`;
  if (name === 'writeBuffer') return 'system calls to the model processes';
  if (name === 'writeUtf8String' || name === 'writev') return 'system calls to callers';
  if (/child_process/.test(url)) return 'node: child_process';
  if (/_http|net|stream/.test(url)) return 'node: http and streams';
  if (/loader|esm|cjs|bootstrap|vm|compile/i.test(`${url}${name}`)) return 'start: loading modules';
  return url.startsWith('node:') ? 'node: other' : 'native and V8';
}
