import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cascade } from '../../shared/bundle/cascade.ts';
import { NEWEST_SCHEMA, parseText, readManifest } from '../../shared/bundle/load.ts';
import { signaturePath } from '../../shared/bundle/signature.ts';
import { replaceFile } from './replace-file.ts';

/**
 * Rewrites a bundle's manifest, in the newest version, atomically, and removes the old one's signature. Standard error
 * says what was written and removed. `change` alters the settings of the cascade `ask`. Throws BundleError.
 */
export async function changeManifest(directory: string, change: (cascade: Cascade) => void): Promise<void> {
  const path = join(directory, 'manifest.json');
  const before = await readFile(path, 'utf8');
  const content = parseText(before, path);
  const manifest = readManifest(content, path);
  change(manifest.strategies.ask as unknown as Cascade);
  readManifest(structuredClone(manifest), path); // never leave a bundle that no service would load
  const after = `${JSON.stringify(manifest, null, 1)}\n`;
  await replaceFile(path, after);
  const { schemaVersion } = content as { schemaVersion: number };
  const migrated =
    schemaVersion === NEWEST_SCHEMA ? '' : `, in schemaVersion ${NEWEST_SCHEMA} (it had ${schemaVersion})`;
  process.stderr.write(`written: ${path}${migrated}\n`);
  if (after !== before && (await removed(signaturePath(path)))) {
    process.stderr.write(`removed: ${signaturePath(path)}, which was of the manifest before; sign the new one\n`);
  }
}

/** Whether there was such a file. */
async function removed(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
