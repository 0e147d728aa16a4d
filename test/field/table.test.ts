import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('reports: each row names tests that are there', () => {
  const page = readFileSync(new URL('./README.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !/^\| (tried|---)/.test(line));
  expect(rows.length).toBeGreaterThan(20);
  for (const row of rows) {
    const cells = row.split(' | ');
    expect(cells, row).toHaveLength(6);
    const files = [...(cells.at(-1) as string).matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file as string);
    expect(files, row).not.toEqual([]);
    for (const file of files) expect(existsSync(new URL(`../../${file}`, import.meta.url)), file).toBe(true);
  }
});
