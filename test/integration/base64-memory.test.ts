import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const DECODE = `
  const [, path, head, filler, size] = process.argv;
  const { decodeBase64, explainBase64 } = await import(path);
  const times = Math.floor((size - head.length) / filler.length);
  const text = Buffer.concat([Buffer.from(head), Buffer.alloc(times * filler.length, filler)]).toString('latin1');
  process.stdout.write(String(decodeBase64(text)?.length ?? explainBase64(text)));
`;
const MEGABYTES = 100; // some copies of the text: a value for each character of it would be more
const SIZE = 20 * 1024 * 1024;

describe('base64 memory: 20 MB of hostile text', () => {
  test.each<[string, string, number | string]>([
    ['', 'A\n', SIZE * (3 / 8)],
    ['', '-', SIZE * (3 / 4)],
    ['', '-+_/', SIZE * (3 / 4)],
    ['', 'A ', "is not base64: it has blanks in it, perhaps where '+' was"],
    ['A', ' ', 'is not base64: its length or its padding is wrong, it may have been cut off'],
    ['AA', '=', 'is not base64: its length or its padding is wrong, it may have been cut off'],
    ['A', '\n', 'is not base64: its length or its padding is wrong, it may have been cut off'],
    ['data:', ';', 'is a data: URL without base64: send data:image/jpeg;base64,…'],
    ['data:', '"', 'is a data: URL without base64: send data:image/jpeg;base64,…'],
    ['data:', ';base64', 'is a data: URL without base64: send data:image/jpeg;base64,…'],
    ['data:a;base64,AA', '%2b%2F', 'is not base64: its length or its padding is wrong, it may have been cut off'],
    ['data:a;base64,', '%', 'is not base64: character 1 of it is "%"'],
  ])('%j and then %j is read in little memory', async (head, filler, expected) => {
    const { href } = new URL('../../services/edge/http/body/base64.ts', import.meta.url);
    const flags = [`--max-old-space-size=${MEGABYTES}`, '--input-type=module', '--eval', DECODE];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, href, head, filler, String(SIZE)]);
    expect(stdout).toBe(String(expected));
  });
});
