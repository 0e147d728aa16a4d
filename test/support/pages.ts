import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a command needs that a test has not: such commands are checked for their scripts, files and flags alone. */
export const needs = ['hours', 'gpu', 'cluster', 'containers', 'data'] as const;

export interface Command {
  page: string;
  text: string;
  /** As the fence of its block says: ```sh needs=hours. */
  needs: string | undefined;
}

/** Every page of the repository, as paths from its root. */
export const pages = globSync('{*.md,{infra,models,services,test,training}/**/*.md}', {
  cwd: root,
  exclude: (name) => /node_modules|\.venv|runs/.test(String(name)),
}).sort();

export const readPage = (page: string): string => readFileSync(`${root}/${page}`, 'utf8');

/** The commands in the blocks of a page that are for a shell; a line that ends with a backslash goes on. */
export function readCommands(page: string): Command[] {
  const blocks = readPage(page).matchAll(/^```sh(?: needs=([a-z]+))?\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap(([, needed, block]) =>
    (block as string)
      .replaceAll(/\\\n\s*/g, '')
      .trim()
      .split('\n')
      .map((text) => ({ page, text, needs: needed })),
  );
}
