import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Functions are held by the linter (`noExcessiveLinesPerFunction`). */
test.each([
  ['services, shared and training', 220, '{services,shared,training/ask_training}/**/*.{ts,js,css,html,py}'],
  ['tests', 300, '{test,training/tests}/**/*.{ts,py}'],
])('sizes: files of %s have fewer than %i lines', (_, limit, pattern) => {
  const files = globSync(pattern, { cwd: root, exclude: (path) => path.includes('node_modules') });
  const large = files
    .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines >= limit);
  expect(files.length).toBeGreaterThan(0);
  expect(large.map(({ file, lines }) => `${file}: ${lines}`).sort()).toEqual([]);
});
