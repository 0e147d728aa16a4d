import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Manifest, type ModelEntry, manifestSchema } from './manifest.schema.ts';

export type { Calibration, Encoding, Encodings, GainWeights, Manifest, ModelEntry } from './manifest.schema.ts';

export interface Bundle {
  directory: string;
  manifest: Manifest;
  /** Names this exact routing policy: the first 12 hex digits of its sha256. */
  policyVersion: string;
}

/** A bundle that cannot be used; the message names the file or the field. */
export class BundleError extends Error {
  override name = 'BundleError';
}

/** Reads and checks `manifest.json`; weights are checked by `modelPath` where they are used. Throws BundleError. */
export async function loadBundle(directory: string): Promise<Bundle> {
  const path = join(directory, 'manifest.json');
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
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

/** Path of a model's weights, after checking their size and digest. Throws BundleError. */
export async function modelPath(bundle: Bundle, model: ModelEntry): Promise<string> {
  const path = join(bundle.directory, model.file);
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    throw new BundleError(`model ${model.id}: ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (content.length !== model.bytes) {
    throw new BundleError(`model ${model.id}: ${path} has ${content.length} bytes, the manifest says ${model.bytes}`);
  }
  const digest = createHash('sha256').update(content).digest('hex');
  if (digest !== model.sha256) {
    throw new BundleError(`model ${model.id}: ${path} has sha256 ${digest}, the manifest says ${model.sha256}`);
  }
  return path;
}
