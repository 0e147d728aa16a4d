import { z } from 'zod';

/** A number written in plain decimals. Empty text, blanks, `0x10` and `1e3` are mistakes, not numbers. */
export function decimal<T extends z.ZodType<number, number>>(schema: T) {
  return z.preprocess((value) => (typeof value === 'string' ? parse(value) : value), schema);
}

function parse(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
