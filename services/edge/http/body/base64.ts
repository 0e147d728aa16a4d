const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** What other characters are; those of the alphabet are their place in it. */
const [PADDING, BLANK, LINE_END, FOREIGN] = [64, 65, 66, 67];

const values = new Uint8Array(65_536).fill(FOREIGN);
for (const [value, digit] of [...ALPHABET].entries()) values[digit.charCodeAt(0)] = value;
for (const [character, value] of [
  ...[['-', 62] as const, ['_', 63] as const, ['=', PADDING] as const, [' ', BLANK] as const, ['\t', BLANK] as const],
  ...[['\n', LINE_END] as const, ['\r', LINE_END] as const],
]) {
  values[character.charCodeAt(0)] = value;
}

/** Of a `data:` URL, all before its comma is sought in so many characters. */
const MAX_HEAD = 1000;
const DATA = /^data:(?:[^",]|"(?:[^"\\]|\\.)*")*,/i;

/**
 * Base64 as clients make it -> bytes: also in lines, by the alphabet for addresses, without padding, or in a `data:`
 * URL. Undefined for any other text. Goes through it once, and makes nothing of it but the bytes.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  const content = contentOf(text);
  if (content === undefined || findFault(content) !== undefined) return undefined;
  return Buffer.from(content, 'base64'); // which takes both alphabets, and passes over blanks and ends of lines
}

/** Why `decodeBase64` does not take a text, for who sent it. */
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

/** The base64 of a `data:` URL (RFC 2397), or what is no such URL; undefined for a URL that has none. */
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
    return content; // where the broken escape will be found
  }
}

/**
 * Where a text stops being base64: at its end, if that comes too early. Blanks may stand at the ends of lines; a blank
 * within one was a `+` that a form's encoding has changed.
 */
function findFault(text: string): number | undefined {
  const other = text.search(/[^A-Za-z0-9+/_-]/); // in most texts none: a search is quicker than the loop
  let count = other < 0 ? text.length : other;
  let last = count > 0 ? (values[text.charCodeAt(count - 1)] as number) : 0;
  let padding = 0;
  let begun = count > 0; // the line has a digit
  let blank = -1; // behind it
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
