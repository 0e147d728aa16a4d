import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;

export interface Certificate {
  ca: string;
  cert: string;
  key: string;
}

/** Paths of a certificate for `hosts`, by the shipped script and openssl; one folder is one CA. */
export async function makeCertificate(folder: string, ...hosts: [string, ...string[]]): Promise<Certificate> {
  await run('sh', [join(root, 'infra/nats/certificate.sh'), folder, ...hosts]);
  return { ca: join(folder, 'ca.crt'), cert: join(folder, `${hosts[0]}.crt`), key: join(folder, `${hosts[0]}.key`) };
}

/** Makes an NKey by the shipped program: its seed is in `file`. Resolves with the public key. */
export async function makeNkey(file: string): Promise<string> {
  const { stdout } = await run(process.execPath, [join(root, 'infra/nats/nkey.ts'), file]);
  return stdout.trim();
}

/** A folder of its own under the system's temporary one. */
export async function makeFolder(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'ask-nats-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
