import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseText, readManifest } from '../bundle/load.ts';
import { readConfig } from '../settings/settings.ts';
import { LICENCE, VERSION } from '../settings/version.ts';

/** What `--version` prints: the version, the licence of the code, and those of the bundle that the settings name. */
export function aboutText(): string {
  return [VERSION, `code: ${LICENCE}`, ...bundleLines()].join('\n');
}

/** None of a bundle that cannot be read: the version can be told all the same. */
function bundleLines(): string[] {
  try {
    const path = join(readConfig().ASK_MODELS_DIR, 'manifest.json');
    const { name, provenance } = readManifest(parseText(readFileSync(path, 'utf8'), path), path);
    return Object.entries(provenance.licences ?? {}).map(([what, terms]) => `bundle ${name}, ${what}: ${terms}`);
  } catch {
    return [];
  }
}
