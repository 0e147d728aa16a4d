import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseManifests } from './manifests.ts';
import { readText, root } from './repository.ts';

/**
 * Where kubectl would reach a cluster, it writes down what it was told; what it creates goes to standard output. Both
 * ends of a pipe run at once, in any order: the second is not written down.
 */
const shim = `
kubectl() {
  case "$*" in
    *'-f -') cat; return ;;
  esac
  echo "$*" >> "$calls"
  case "$*" in
    *' create '*) echo ---; command kubectl "$@" --dry-run=client -o yaml ;;
  esac
}
`;

/** Runs a block of commands of infra/README.md short of the cluster: how kubectl was called, and the Secrets made. */
export function runBlock(begin: string): { calls: string[]; secrets: Map<string, string[]> } {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'ask-commands-'));
  const blocks = readText('infra/README.md').matchAll(/```sh.*\n([\s\S]*?)```/g);
  const block = [...blocks].map(([, text]) => text as string).find((text) => text.startsWith(begin));
  if (block === undefined) throw new Error(`infra/README.md has no block of commands that begins with ${begin}`);
  const script = block
    .replaceAll('../ask-keys', folder.path)
    .replaceAll('--to keys', `--to ${folder.path}/keys`)
    .replaceAll('--from-file=keys', `--from-file=${folder.path}/keys`);
  const calls = join(folder.path, 'calls');
  const output = execFileSync('bash', ['-euo', 'pipefail', '-c', shim + script], {
    cwd: root,
    env: { ...process.env, calls },
    encoding: 'utf8',
    stdio: 'pipe',
  });
  const documents = parseManifests(output.slice(output.indexOf('---')).replaceAll(/^ask_.*$/gm, ''));
  return {
    calls: readFileSync(calls, 'utf8').trim().split('\n'),
    secrets: new Map(
      documents
        .filter((manifest) => manifest !== null)
        .map(({ metadata, data }) => [metadata.name, Object.keys(data ?? {}).sort()]),
    ),
  };
}
