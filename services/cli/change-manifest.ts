import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestSchema } from '../../shared/manifest.schema.ts';
import type { Manifest } from '../../shared/manifest.ts';

/** Rewrites a bundle's manifest as a whole or not at all; what the services do not know of it stays. */
export async function changeManifest(directory: string, change: (manifest: Manifest) => void): Promise<void> {
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  change(manifest);
  manifestSchema.parse(manifest); // a bundle that no service starts with must not be left behind
  const partial = `${path}.partial`;
  try {
    await writeFile(partial, `${JSON.stringify(manifest, null, 1)}\n`);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
