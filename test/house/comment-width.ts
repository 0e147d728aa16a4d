import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The formatter wraps code and leaves comments alone. Part of `npm run lint`; ruff checks Python. */
const WIDTH = 120;
const root = fileURLToPath(new URL('../..', import.meta.url));

const languages = [
  { files: ['**/*.ts', 'services/edge/http/console/*.{js,css,html}'], comment: /^(\/\/|\/\*|\*|<!--)|(?<!:)\/\/ / },
  { files: ['**/*.sh', '**/Dockerfile', '**/*.Dockerfile', '**/Dockerfile.*'], comment: /^#|\s# / },
];
const IGNORED = /(^|\/)(node_modules|\.[^/]+)(\/|$)|^training\/runs\//;

const found = languages.flatMap(({ files, comment }) =>
  globSync(files, { cwd: root, exclude: (path) => IGNORED.test(path) })
    .sort()
    .flatMap((file) =>
      readFileSync(`${root}/${file}`, 'utf8')
        .split('\n')
        .flatMap((line, i) => (isTooWide(line, comment) ? [`${file}:${i + 1}: ${line.length} columns`] : [])),
    ),
);
for (const place of found) console.error(place);
if (found.length > 0) {
  console.error(`comments must stay within ${WIDTH} columns`);
  process.exitCode = 1;
}

/** Long lines that are no comment are the formatter's: it leaves strings and templates whole. */
function isTooWide(line: string, comment: RegExp): boolean {
  return line.length > WIDTH && comment.test(withoutStrings(line.trim()));
}

function withoutStrings(code: string): string {
  return code.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''");
}
