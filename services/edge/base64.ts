/**
 * Base64 as clients make it -> bytes: also in lines, by the alphabet for addresses, without padding, or in a `data:` URL.
 * Undefined for any other text. Linear in its length.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  const plain = Buffer.from(text, 'base64');
  if (plain.toString('base64') === text) return plain; // to compare is quicker than to look at each of 20 MB
  const digits = contentOf(joinLines(text.trim()));
  if (digits === undefined) return undefined;
  const standard = digits
    .replaceAll('-', '+')
    .replaceAll('_', '/')
    .replace(/={1,2}$/, '');
  const bytes = Buffer.from(standard, 'base64');
  // Node leaves out what is not base64.
  return bytes.toString('base64').replace(/=+$/, '') === standard ? bytes : undefined;
}

/** Without its line breaks and the blanks beside them. A blank elsewhere was a `+` that a form's encoding has changed. */
function joinLines(text: string): string {
  if (!/[\r\n]/.test(text)) return text;
  return text
    .split(/[\r\n]/)
    .map((line) => line.trim())
    .join('');
}

/** The base64 of a `data:` URL (RFC 2397), or what is no such URL as it is; undefined for a URL that has none. */
function contentOf(text: string): string | undefined {
  if (!/^data:/i.test(text)) return text;
  const comma = text.indexOf(',');
  const [, ...parameters] = text.slice(0, Math.max(0, comma)).split(';');
  if (!parameters.some((parameter) => parameter.trim().toLowerCase() === 'base64')) return undefined;
  const escapes: Record<string, string> = { '%2b': '+', '%2f': '/', '%3d': '=' };
  return text
    .slice(comma + 1)
    .trim()
    .replace(/%(2b|2f|3d)/gi, (found) => escapes[found.toLowerCase()] as string);
}

/** Why `decodeBase64` does not take a text, for who sent it. */
export function explainBase64(text: string): string {
  const trimmed = text.trim();
  if (/^https?:/i.test(trimmed)) return 'is an address, and nothing is fetched from there: send the picture itself';
  const data = /^data:/i.test(trimmed);
  if (data && !contentOf(trimmed)) return 'is a data: URL without base64: send data:image/jpeg;base64,…';
  const digits = data ? trimmed.slice(trimmed.indexOf(',') + 1) : trimmed;
  const wrong = /[^A-Za-z0-9+/_=\r\n-]/u.exec(digits);
  if (!wrong) return 'is not base64: its length or its padding is wrong, it may have been cut off';
  if (wrong[0] === ' ') return "is not base64: it has blanks in it, perhaps where '+' was";
  return `is not base64: character ${wrong.index + 1} of it is ${JSON.stringify(wrong[0])}`;
}
