const SHORT: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' };

/** A text from outside for a message on one line: what cannot be seen is written out, and a long one cut. */
export function makeVisible(text: string, most = Number.POSITIVE_INFINITY): string {
  const whole = text.length > most ? `${text.slice(0, most)}...` : text;
  return escapeInvisible(whole);
}

/** A message of several lines, with all else that cannot be seen written out. */
export function makeLinesVisible(text: string): string {
  return text.split('\n').map(escapeInvisible).join('\n');
}

/** An error's stack: a line for each call and each cause, and none that its message would make. */
export function makeStackVisible(stack: string): string {
  return stack
    .split(/\n(?= {4,}at |caused by: )/)
    .map(escapeInvisible)
    .join('\n');
}

/** What steers a terminal, ends a line or turns its direction; everything else is seen. */
function escapeInvisible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => SHORT[one] ?? `\\u{${one.codePointAt(0)?.toString(16)}}`,
  );
}
