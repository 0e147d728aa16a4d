import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Import {
  from: string;
  /** A file of the repository, or the name of a package. */
  to: string;
}

/** All imports of the files that a pattern matches, also of types and at run time; paths from the repository's root. */
export function readImports(pattern: string): Import[] {
  return globSync(pattern, { cwd: root })
    .sort()
    .flatMap((file) => specifiersOf(readFileSync(join(root, file), 'utf8')).map((text) => toImport(file, text)));
}

function specifiersOf(source: string): string[] {
  const forms = [
    /\bfrom\s+'([^']+)'/g,
    /^import\s+'([^']+)'/gm,
    /\bimport\(\s*'([^']+)'\s*\)/g,
    /\bnew URL\(\s*'([^']+\.ts)',\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) => Array.from(source.matchAll(form), ([, text]) => text as string));
}

function toImport(from: string, text: string): Import {
  return { from, to: text.startsWith('.') ? relative(root, join(root, dirname(from), text)) : text };
}

/** The files of each circle of imports, in its order. */
export function findCircles(imports: Import[]): string[][] {
  const next = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const circles: string[][] = [];
  const visit = (file: string, path: string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) return void circles.push([...path.slice(at), file]);
    if (done.has(file)) return;
    for (const { to } of next.get(file) ?? []) if (next.has(to)) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return circles;
}
