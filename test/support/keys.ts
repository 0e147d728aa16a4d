import { generateKeyPairSync, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface KeyFiles {
  privateKey: string;
  publicKey: string;
}

/** Writes a pair of Ed25519 keys into a folder, as `openssl genpkey` and `openssl pkey -pubout` do. */
export async function writeKeys(directory: string, name: string): Promise<KeyFiles> {
  const pair = generateKeyPairSync('ed25519');
  const files = { privateKey: join(directory, `${name}.pem`), publicKey: join(directory, `${name}-public.pem`) };
  await writeFile(files.privateKey, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(files.publicKey, pair.publicKey.export({ type: 'spki', format: 'pem' }));
  return files;
}

/** Signs a bundle's manifest as it stands. */
export async function signManifest(directory: string, { privateKey }: KeyFiles): Promise<void> {
  const manifest = await readFile(join(directory, 'manifest.json'));
  const signature = sign(null, manifest, await readFile(privateKey));
  await writeFile(join(directory, 'manifest.json.sig'), signature.toString('base64'));
}
