import { z } from 'zod';

/** Kinds of settings, lenient about how platforms and people write them. */
export const whole = (low: number, high: number) =>
  z
    .string()
    .regex(/^[+-]?\d+$/, 'must be a whole number in digits, without a unit or separators')
    .transform(Number)
    .pipe(z.number().int().min(low).max(high));

export const flag = () => z.stringbool({ error: 'must be true or false' });

/** Names separated by commas; surrounding blanks and upper case are ignored. */
export function list(name: RegExp, mistake: string) {
  return z
    .string()
    .transform(splitList)
    .refine((names) => names.every((one) => name.test(one)), mistake);
}

export function splitList(text: string): string[] {
  return text.split(',').map((one) => one.trim());
}

/** Origins of web pages, as browsers write them. An origin with another scheme than the web's stays text. */
export const origins = () =>
  z
    .string()
    .transform(splitList)
    .refine(
      (all) => all.every(isOrigin),
      'must be origins with commas between, such as https://app.example:8443, each by its name: * is not taken',
    )
    .transform((all) => all.map(toOrigin));

const isOrigin = (text: string) => /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+\/?$/i.test(text) && URL.canParse(text);

function toOrigin(text: string): string {
  const { origin } = new URL(text);
  return origin === 'null' ? text.toLowerCase().replace(/\/$/, '') : origin;
}

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const ALIASES: Record<string, string> = { warning: 'warn', critical: 'fatal', off: 'silent' };

export const level = () =>
  z
    .string()
    .transform((text) => ALIASES[text.toLowerCase()] ?? text.toLowerCase())
    .pipe(z.enum(LEVELS, `must be one of ${LEVELS.join(', ')}`));

/** Onnxruntime's providers by short name; the names of its Python API, which have a suffix, work too. */
export const providers = () =>
  z
    .string()
    .transform((names) => splitList(names).map((name) => name.toLowerCase().replace(/executionprovider$/, '')))
    .refine(
      (names) => names.every((name) => /^[a-z]+$/.test(name)),
      "must be onnxruntime's names with commas between, the preferred first: cuda,cpu",
    );
