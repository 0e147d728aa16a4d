import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { inRepository, readText } from './repository.ts';

const importOfTypes = /^(import|export) type [^;]*;/gm;
const importOfPackage = /(?:\bfrom\s+|^import\s+|\bimport\(\s*)'([^.'][^']*)'/gm;
const relativeFile = /'(\.{1,2}\/[\w./-]+\.\w+)'/g;

const packageOf = (specifier: string) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** The files and the packages that a program needs, found by its imports and by the relative file names in it. */
export function collectImports(entry: string): { files: string[]; packages: string[] } {
  const files = new Set([entry]);
  const packages = new Set<string>();
  for (const file of files) {
    if (!file.endsWith('.ts')) continue;
    const source = readText(file).replace(importOfTypes, '');
    for (const [, specifier = ''] of source.matchAll(importOfPackage)) {
      if (!specifier.startsWith('node:')) packages.add(packageOf(specifier));
    }
    for (const [, name = ''] of source.matchAll(relativeFile)) {
      const path = posix.join(posix.dirname(file), name);
      if (existsSync(inRepository(path))) files.add(path);
    }
  }
  return { files: [...files], packages: [...packages] };
}
