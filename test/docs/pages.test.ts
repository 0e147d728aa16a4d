import { existsSync, globSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { describeSettings } from '../../shared/settings/help.ts';
import { pages, readPage } from '../support/pages.ts';

/** A page may name a file by the end of its path, as it reads best. */
const tracked = globSync('{*,.ci/*,{infra,models,services,shared,test,training}/**/*.*}', {
  exclude: (name) => /node_modules|\.venv|runs/.test(String(name)),
});

/** As GitHub makes them of headings. */
function anchorsOf(page: string): string[] {
  const headings = readPage(page)
    .replaceAll(/^```[\s\S]*?^```$/gm, '')
    .matchAll(/^#+ (.+)$/gm);
  return Array.from(headings, ([, text]) =>
    (text as string)
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('pages: there are those that people look for', () => {
  const wanted = ['README', 'ARCHITECTURE', 'CONTRIBUTING', 'CHANGELOG', 'SECURITY'].map((name) => `${name}.md`);
  const services = ['', 'edge/', 'expert/', 'local/', 'cli/'].map((name) => `services/${name}README.md`);
  expect([...wanted, ...services].filter((page) => !pages.includes(page))).toEqual([]);
  for (const file of ['LICENSE', 'NOTICE']) expect(existsSync(file)).toBe(true);
});

test.each(pages)('pages: every link of %s leads somewhere', (page) => {
  const links = [...readPage(page).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(([, link]) => link as string);
  const broken = links.filter((link) => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : join(dirname(page), path);
    if (!existsSync(target)) return true;
    if (anchor === undefined || statSync(target).isDirectory() || !target.endsWith('.md')) return false;
    return !anchorsOf(target).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test.each(pages)('pages: every file that %s names is there', (page) => {
  const places = /`((?:services|shared|test|infra|training|models)\/[\w./-]+)`/g;
  const named = [...readPage(page).matchAll(places)].map(([, path]) => path as string);
  const made = /^training\/(runs|\.venv)|^models\/(?!default|README)/; // by whoever works here
  expect(named.filter((path) => !made.test(path) && !existsSync(path))).toEqual([]);
});

test.each(pages)('pages: every file that %s names without its folder is there', (page) => {
  const named = [...readPage(page).matchAll(/`([\w./-]+\.(?:ts|py|sh|conf|js|toml|yaml))`/g)].map(([, name]) => name);
  expect(named.filter((name) => !tracked.some((file) => file === name || file.endsWith(`/${name}`)))).toEqual([]);
});

test.each(pages)('pages: every block for a shell in %s is one whose commands are read', (page) => {
  const fences = readPage(page).match(/^ *(?:`{3,}|~{3,}) *(?:sh|bash|shell|console|zsh)\b.*$/gm) ?? [];
  expect(fences.filter((fence) => !/^```sh( needs=[a-z]+)?$/.test(fence))).toEqual([]);
});

test('pages: the table of settings is the one of the code', () => {
  const rows = describeSettings().map(({ name, meaning, fallback }) => `| \`${name}\` | ${meaning} | ${fallback} |`);
  expect(readPage('services/README.md').match(/^\| `(?!OTEL)[A-Z_]+` \|.*$/gm)).toEqual(rows);
});

test('pages: the README stays short', () => {
  expect(readPage('README.md').split('\n').length).toBeLessThan(130);
});
