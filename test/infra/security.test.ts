import { describe, expect, test } from 'vitest';
import { readText } from '../support/infra/repository.ts';

/** The rows of the threat model: threat, what stands against it, tests as "`path`: title" with <br> between. */
const rows = readText('SECURITY.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (threat|---) /.test(line))
  .map((line) => line.slice(2, -2).split(' | '));

describe('every row of the threat model names a test that exists', () => {
  test('there are rows', () => {
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((cells) => cells.length !== 3)).toEqual([]);
  });

  test.each(rows)('%s', (_threat, answer, cell) => {
    expect(answer).not.toBe('');
    for (const reference of (cell as string).split('<br>')) {
      expect(reference).toMatch(/^`test\/[\w/.-]+\.test\.ts`: ./);
      const [, path, title] = /^`(.+?)`: (.*)$/.exec(reference) as unknown as [string, string, string];
      const quoted = [`'${title}'`, `"${title}"`, `\`${title}\``];
      expect(readText(path)).toSatisfy(
        (source: string) => quoted.some((literal) => source.includes(literal)),
        `${path} has a test titled: ${title}`,
      );
    }
  });
});
