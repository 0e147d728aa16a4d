import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NEWEST_SCHEMA, parseText } from '../../shared/bundle/load.ts';
import { changeManifest } from './change-manifest.ts';

/**
 * Rewrites a bundle's manifest in the newest version. One that has it already stays as it is. Throws BundleError for
 * a manifest that no service takes.
 */
export async function migrate(directory: string): Promise<void> {
  const path = join(directory, 'manifest.json');
  const { schemaVersion } = parseText(await readFile(path, 'utf8'), path) as { schemaVersion?: unknown };
  if (schemaVersion === NEWEST_SCHEMA) {
    process.stderr.write(`${path} has schemaVersion ${NEWEST_SCHEMA} already\n`);
    return;
  }
  await changeManifest(directory, () => {});
}
