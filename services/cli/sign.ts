import { createPrivateKey, type KeyObject, sign as signBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBundle } from '../../shared/bundle/load.ts';
import { signaturePath } from '../../shared/bundle/signature.ts';
import { replaceFile } from './replace-file.ts';
import { UsageError } from './usage.ts';

/**
 * Signs the exact bytes of a bundle's manifest with an Ed25519 private key in PEM, and writes the signature beside it.
 * The digests in the manifest extend it to the files it names. Throws UsageError, and BundleError for a manifest that
 * no service would load.
 */
export async function sign(keyFile: string, directory: string): Promise<void> {
  const key = toPrivateKey(await readFile(keyFile, 'utf8'));
  if (key?.asymmetricKeyType !== 'ed25519') throw new UsageError(`${keyFile} is not an Ed25519 private key in PEM`);
  await loadBundle(directory);
  const manifest = join(directory, 'manifest.json');
  const signature = signBytes(null, await readFile(manifest), key);
  const path = signaturePath(manifest);
  await replaceFile(path, `${signature.toString('base64')}\n`);
  process.stderr.write(`written: ${path}\n`);
}

function toPrivateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
