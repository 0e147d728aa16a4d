const MOST = 100;
const SHORT: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' };

/** A text from outside for a message on one line: what cannot be seen is written out, and a long one cut. */
export function makeVisible(text: string, most = MOST): string {
  const whole = text.length > most ? `${text.slice(0, most)}...` : text;
  return escapeInvisible(whole, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu);
}

/** A message of several lines, with all else that cannot be seen written out. */
export function makeLinesVisible(text: string): string {
  return escapeInvisible(text, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu);
}

function escapeInvisible(text: string, which: RegExp): string {
  return text.replace(which, (one) => SHORT[one] ?? `\\u{${one.codePointAt(0)?.toString(16)}}`);
}
