import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '../settings/settings.ts';
import { BundleError } from './bundle-error.ts';

/** Where a manifest's signature lies: base64 of Ed25519 over the file's exact bytes. */
export const signaturePath = (manifestPath: string): string => `${manifestPath}.sig`;

/**
 * Checks that `manifest`, the bytes read from `path`, are signed by one of the keys in `keyFile`. Throws BundleError
 * naming the signature's file, and ConfigError naming the keys'.
 */
export async function checkSignature(path: string, manifest: Buffer, keyFile: string): Promise<void> {
  const keys = await readPublicKeys(keyFile);
  const file = signaturePath(path);
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    const advice = 'with ASK_MANIFEST_KEY the manifest must be signed (npm run -s ask -- sign)';
    throw new BundleError(`${file} cannot be read: ${error.message}; ${advice}`, { cause: error });
  });
  const signature = Buffer.from(text, 'base64');
  if (!keys.some((key) => verify(null, manifest, key, signature))) {
    throw new BundleError(`${file} is not a signature of ${path} by a key in ${keyFile} (ASK_MANIFEST_KEY)`);
  }
}

async function readPublicKeys(file: string): Promise<KeyObject[]> {
  const pem = await readFile(file, 'utf8').catch((error: Error) => {
    throw new ConfigError(`ASK_MANIFEST_KEY=${file} cannot be read: ${error.message}`, { cause: error });
  });
  // A private key would work too, but must not lie about on devices.
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/g) ?? [];
  const keys = blocks.map(toPublicKey);
  if (keys.length === 0 || keys.some((key) => key?.asymmetricKeyType !== 'ed25519')) {
    throw new ConfigError(`ASK_MANIFEST_KEY=${file} must hold Ed25519 public keys in PEM, and no other keys`);
  }
  return keys as KeyObject[];
}

function toPublicKey(pem: string): KeyObject | undefined {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}
