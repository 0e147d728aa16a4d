import { execFile } from 'node:child_process';
import { access, mkdir, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const cache = new URL('../../.cache/nats-server/', import.meta.url).pathname;

/** Path of a nats-server: `NATS_SERVER_BIN`, then `PATH`, then Debian's package, unpacked under `.cache` by itself. */
export async function findNatsServer(env = process.env): Promise<string> {
  if (env.NATS_SERVER_BIN) return requireExecutable(env.NATS_SERVER_BIN);
  const unpacked = join(cache, 'usr/sbin/nats-server');
  for (const candidate of [
    ...(env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'nats-server')),
    '/usr/sbin/nats-server',
    unpacked,
  ]) {
    if (await isExecutable(candidate)) return candidate;
  }
  await fetchDebianPackage().catch((error: Error) => {
    throw new Error(
      'no nats-server found: install one (Debian and Ubuntu: apt install nats-server; macOS: brew install nats-server; ' +
        `anywhere with Go: go install github.com/nats-io/nats-server/v2@latest) or set NATS_SERVER_BIN. ${error.message}`,
    );
  });
  return requireExecutable(unpacked);
}

/** Works without root where apt's package lists are there; with root it updates them first if need be. */
async function fetchDebianPackage(): Promise<void> {
  await mkdir(cache, { recursive: true });
  const download = () => run('apt-get', ['download', 'nats-server'], { cwd: cache });
  await download().catch(async () => {
    await run('apt-get', ['update']);
    await download();
  });
  const file = (await readdir(cache)).find((name) => name.endsWith('.deb'));
  if (!file) throw new Error('apt-get download left no package');
  await run('dpkg-deb', ['--extract', join(cache, file), cache]);
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, 1).then(
    () => true,
    () => false,
  );
}

async function requireExecutable(path: string): Promise<string> {
  if (await isExecutable(path)) return path;
  throw new Error(`NATS_SERVER_BIN: ${path} is not an executable file`);
}
