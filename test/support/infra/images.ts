import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { readStages, type Stage } from './dockerfile.ts';
import { inRepository, packageJson } from './repository.ts';

const run = promisify(execFile);
const script = inRepository('infra/images/build.sh');

export type Engine = 'docker' | 'podman' | 'buildah';
export type Service = 'edge' | 'expert';

export const imageOf = (service: Service) => `docker.io/ask-the-expert/${service}:${packageJson.version}`;

/** The container engine that `infra/images/build.sh` would use; undefined where there is none that tests can use. */
export function findEngine(): { engine?: Engine; skipped: string } {
  const { stdout, stderr, status } = spawnSync('sh', [script, '--which'], { encoding: 'utf8' });
  const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
  const engine = stdout.trim() as Engine;
  const missing = (tool: string) => spawnSync(tool, ['--version']).status !== 0;
  const reason =
    (status !== 0 && stderr.trim()) ||
    (!isRoot && 'only root on Linux may listen as a name server') ||
    (engine === 'buildah' && missing('runc') && 'buildah is without runc');
  if (!reason) return { engine, skipped: '' };
  process.stderr.write(`SKIPPED: ${reason}; the images are neither built nor run\n`);
  return { skipped: ` (SKIPPED: ${reason})` };
}

/** Builds both images, on a stand-in for their base where that is neither here nor to be had. */
export async function buildImages(engine: Engine): Promise<void> {
  const [first] = readStages('infra/images/Dockerfile') as [Stage];
  const base = first.from.words[0] as string;
  const inspect = engine === 'buildah' ? ['inspect', '--type', 'image', base] : ['image', 'inspect', base];
  await run(engine, inspect)
    .catch(() => run(engine, ['pull', base]))
    .catch(() => {
      process.stderr.write(`${base} cannot be pulled: a stand-in takes its name; remove it before building to ship\n`);
      return run('bash', [inRepository('test/support/infra/stand-in.sh'), engine], { maxBuffer: 2 ** 26 });
    });
  await run('sh', [script, '--network', 'host'], { env: { ...process.env, ENGINE: engine }, maxBuffer: 2 ** 26 });
}
