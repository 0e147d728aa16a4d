import { describe, expect, test } from 'vitest';
import { decodeBase64, explainBase64 } from '../../../../../services/edge/http/body/base64.ts';

const bytes = Buffer.from(Array.from({ length: 500 }, (_, i) => (i * i * 31 + i * 17 + 251) % 256));
const plain = bytes.toString('base64');
const inLines = (width: number, end: string, last = '') =>
  plain.replace(new RegExp(`.{${width}}`, 'g'), `$&${end}`) + last;

describe('base64', () => {
  test.each<[string, string]>([
    ['as it is', plain],
    ['lines of 64, LF', inLines(64, '\n', '\n')],
    ['lines of 76, CR LF', inLines(76, '\r\n', '\r\n')],
    ['lines of 4, CR', inLines(4, '\r')],
    ['indented lines', inLines(76, '\n\t  ')],
    ['blanks around', `\n  ${plain}\t \r\n`],
    ['alphabet for addresses', bytes.toString('base64url')],
    ['alphabet for addresses, padded', plain.replaceAll('+', '-').replaceAll('/', '_')],
    ['half of the alphabet for addresses', plain.replaceAll('+', '-')],
    ['without padding', plain.replace(/=+$/, '')],
    ['without padding, in lines', inLines(76, '\n').replace(/=+\n?$/, '\n')],
    ['data: URL', `data:image/jpeg;base64,${plain}`],
    ['data: URL with parameters', `data:image/jpeg;charset=utf-8;name=x.jpg;base64,${plain}`],
    ['data: URL in capitals', `DATA:IMAGE/PNG;BASE64,${plain}`],
    ['data: URL without a type', `data:;base64,${plain}`],
    ['data: URL with blanks', ` data:image/png; base64, ${plain}\n`],
    ['data: URL in lines', `data:image/png;base64,\r\n${inLines(76, '\r\n')}`],
    ['data: URL with escapes', `data:image/png;base64,${encodeURIComponent(plain)}`],
    ['data: URL with escaped line ends', `data:image/png;base64,${encodeURIComponent(inLines(76, '\r\n'))}`],
    ['data: URL with a comma in a name', `data:image/png;name="a,b \\"c";base64,${plain}`],
    ['data: URL for addresses', `data:image/png;base64,${bytes.toString('base64url')}`],
  ])('%s', (_, text) => {
    const decoded = decodeBase64(text);
    expect(decoded && Buffer.compare(Buffer.from(decoded), bytes)).toBe(0);
  });

  test.each<[string, string, string]>([
    ['a blank within', 'AAAA AAAB', "blanks in it, perhaps where '+' was"],
    ['a wrong character', 'AAAA%AAB', 'character 5 of it is "%"'],
    ['a character of two units', 'AAAA🦊AA', 'character 5 of it is "🦊"'],
    ['one digit too many', 'AAAAA', 'cut off'],
    ['padding within', 'AA==AAAA', 'padding is wrong'],
    ['too much padding', 'AA===', 'padding is wrong'],
    ['a blank within a line', 'AAAA\nAA AA\nAAAA', "blanks in it, perhaps where '+' was"],
    ['a blank before padding', 'AA\nAA =', 'blanks in it'],
    ['bits that mean nothing', 'AB', 'cut off'],
    ['how Python prints bytes', "b'AAAA'", 'character 2 of it is "\'"'],
    ['a data: URL without base64', 'data:image/png,%89PNG%0D%0A', 'without base64'],
    ['a data: URL cut off', 'data:image/png;base64', 'without base64'],
    ['a data: URL with base64 in a name', 'data:image/png;name=";base64",AAAA', 'without base64'],
    ['a data: URL with a broken escape', 'data:image/png;base64,AA%2', 'character 3 of it is "%"'],
    ['a data: URL that escapes something else', 'data:image/png;base64,AA%C3%A4AA', 'character 3 of it is "ä"'],
    ['a data: URL with a wrong character', 'data:image/png;base64,AA!A', 'character 3 of it is "!"'],
    ['an address', 'https://example.org/photo.jpg', 'nothing is fetched'],
    ['a name of a file', 'photo.jpg', 'character 6 of it is "."'],
  ])('is refused: %s', (_, text, reason) => {
    expect(decodeBase64(text)).toBe(undefined);
    expect(explainBase64(text)).toContain(reason);
  });
});
