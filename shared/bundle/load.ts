import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { BundleError } from './bundle-error.ts';
import { type Manifest, manifestSchema } from './manifest.ts';
import { checkSignature } from './signature.ts';

export { BundleError } from './bundle-error.ts';
export type { Calibration, Encoding, Encodings, GainWeights, Manifest, ModelEntry } from './manifest.ts';

export interface Bundle {
  directory: string;
  manifest: Manifest;
  /** Names this exact routing policy: the first 12 hex digits of its sha256. */
  policyVersion: string;
}

/**
 * Reads and checks `manifest.json`. With `keyFile`, public keys in PEM, its exact bytes must be signed by one of them.
 * The files it names are not read here: whoever reads one holds it against the manifest's digest then, so that nothing
 * can change in between. Throws BundleError, and ConfigError for a file without such keys.
 */
export async function loadBundle(directory: string, keyFile?: string): Promise<Bundle> {
  const path = resolve(directory, 'manifest.json');
  const bytes = await readFile(path).catch((error: Error) => {
    throw new BundleError(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (keyFile !== undefined) await checkSignature(path, bytes, keyFile);
  let content: unknown;
  try {
    content = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new BundleError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const parsed = manifestSchema.safeParse(content);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.') || '(root)'}: ${issue.message}`);
    throw new BundleError(`${path} is not a usable manifest:\n${lines.join('\n')}`);
  }
  const policy = createHash('sha256').update(JSON.stringify(parsed.data.routing)).digest('hex');
  return { directory, manifest: parsed.data, policyVersion: policy.slice(0, 12) };
}
