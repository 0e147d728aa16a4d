const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Kinds of other characters; a character of the alphabet is its place in it. */
const [PADDING, BLANK, LINE_END, FOREIGN] = [64, 65, 66, 67];

const values = new Uint8Array(65_536).fill(FOREIGN);
for (const [value, digit] of [...ALPHABET].entries()) values[digit.charCodeAt(0)] = value;
for (const [character, value] of [
  ...[['-', 62] as const, ['_', 63] as const, ['=', PADDING] as const, [' ', BLANK] as const, ['\t', BLANK] as const],
  ...[['\n', LINE_END] as const, ['\r', LINE_END] as const],
]) {
  values[character.charCodeAt(0)] = value;
}

/** The comma of a `data:` URL is sought in this many characters. */
const MAX_HEAD = 1000;
const DATA = /^data:(?:[^",]|"(?:[^"\\]|\\.)*")*,/i;

/**
 * Base64 as clients write it -> bytes: also in lines, in the alphabet for addresses, without padding, or in a `data:`
 * URL. Undefined for any other text. One pass, which allocates nothing but the bytes.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  const content = contentOf(text);
  if (content === undefined || findFault(content) !== undefined) return undefined;
  return Buffer.from(content, 'base64'); // accepts both alphabets and ignores blanks and line ends
}

/** Why `decodeBase64` refuses a text, for its sender. */
export function explainBase64(text: string): string {
  const content = contentOf(text);
  if (content === undefined) return 'is a data: URL without base64: send data:image/jpeg;base64,…';
  if (/^https?:/i.test(content)) return 'is an address, and nothing is fetched from there: send the picture itself';
  const fault = findFault(content);
  const wrong = fault === undefined ? undefined : content.codePointAt(fault);
  if (fault === undefined || wrong === undefined || (values[wrong] ?? FOREIGN) <= PADDING) {
    return 'is not base64: its length or its padding is wrong, it may have been cut off';
  }
  if (values[wrong] === BLANK) return "is not base64: it has blanks in it, perhaps where '+' was";
  return `is not base64: character ${fault + 1} of it is ${JSON.stringify(String.fromCodePoint(wrong))}`;
}

/**
 * The base64 of a `data:` URL (RFC 2397), or the text itself if it is no such URL. Undefined for a URL without base64.
 */
function contentOf(text: string): string | undefined {
  const begin = Math.max(0, text.search(/\S/));
  const head = text.slice(begin, begin + MAX_HEAD);
  if (!/^data:/i.test(head)) return text.slice(begin);
  const [url] = DATA.exec(head) ?? [''];
  if (!/;\s*base64\s*[;,]/i.test(url.replace(/"(?:[^"\\]|\\.)*"/g, ''))) return undefined;
  const content = text.slice(begin + url.length);
  if (!content.includes('%')) return content;
  try {
    return decodeURIComponent(content);
  } catch {
    return content; // `findFault` will find the broken escape
  }
}

/**
 * Where a text stops being base64; its end, if that comes too early. Blanks may stand at the ends of lines. A blank
 * within a line was a `+` that form encoding has changed.
 */
function findFault(text: string): number | undefined {
  const other = text.search(/[^A-Za-z0-9+/_-]/); // most texts have none, and a search is faster than the loop
  let count = other < 0 ? text.length : other;
  let last = count > 0 ? (values[text.charCodeAt(count - 1)] as number) : 0;
  let padding = 0;
  let begun = count > 0; // the line has a digit
  let blank = -1; // after the digits of the line
  for (let i = count; i < text.length; i++) {
    const value = values[text.charCodeAt(i)] as number;
    if (value <= PADDING) {
      if (blank >= 0) return blank;
      if (value === PADDING) padding += 1;
      else if (padding > 0) return i;
      else {
        count += 1;
        last = value;
      }
      if (padding > 2) return i;
      begun = true;
    } else if (value === LINE_END) {
      begun = false;
      blank = -1;
    } else if (value === FOREIGN) {
      return i;
    } else if (begun && blank < 0) {
      blank = i;
    }
  }
  const rest = count % 4;
  const unused = rest === 2 ? 0b1111 : rest === 3 ? 0b11 : 0;
  return rest === 1 || (last & unused) !== 0 ? text.length : undefined;
}
