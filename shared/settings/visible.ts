const SHORT: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' };

/** Prepares outside text for a one-line message: invisible characters are escaped, and long text is cut. */
export function makeVisible(text: string, most = Number.POSITIVE_INFINITY): string {
  const whole = text.length > most ? `${text.slice(0, most)}...` : text;
  return escapeInvisible(whole);
}

/** A message of several lines, with all other invisible characters escaped. */
export function makeLinesVisible(text: string): string {
  return text.split('\n').map(escapeInvisible).join('\n');
}

/** An error's stack: a line for each call and each cause, and none that its message could fake. */
export function makeStackVisible(stack: string): string {
  return stack
    .split(/\n(?= {4,}at |caused by: )/)
    .map(escapeInvisible)
    .join('\n');
}

/** Escapes what controls a terminal, ends a line or changes its direction. */
function escapeInvisible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => SHORT[one] ?? `\\u{${one.codePointAt(0)?.toString(16)}}`,
  );
}
