import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../../..');

export const inRepository = (path: string) => join(root, path);

export const readText = (path: string) => readFileSync(inRepository(path), 'utf8');

export const packageJson = JSON.parse(readText('package.json')) as {
  version: string;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
};
