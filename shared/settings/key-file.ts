import { hash } from 'node:crypto';
import { z } from 'zod';
import { decimal } from './decimal.ts';
import { ConfigError } from './settings.ts';

/** The holder of a key, and how often it may be used. */
export interface KeyHolder {
  name: string;
  /** Requests per second; undefined: as many as the edge can answer. */
  limit: number | undefined;
}

/** Holders by the digest of their key. */
export type Keys = ReadonlyMap<string, KeyHolder>;

export const KEY_NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

/**
 * The sha256 of a key, in hex. A password would need a slow salted digest. A key does not: it is 256 random bits, which
 * nobody can guess from the digest. And the time of a look-up by digest tells nothing about the key.
 */
export function digestOf(key: string): string {
  return hash('sha256', key, 'hex');
}

/** The key file's line for a key. */
export function formatKey(key: string, { name, limit }: KeyHolder): string {
  return `${name} ${digestOf(key)}${limit === undefined ? '' : ` ${limit}`}\n`;
}

const rate = decimal(z.number().positive().max(1e6));

/** Requests per second, or undefined if the text is no such number. */
export function parseLimit(text: string): number | undefined {
  return rate.safeParse(text).data;
}

/**
 * Parses a key file: lines of name, digest and perhaps limit; `#` begins a comment. Two lines may have the same name,
 * while a key is being replaced. Throws ConfigError, which quotes nothing of a line: it may hold a key.
 */
export function parseKeys(text: string, path: string): Keys {
  const keys = new Map<string, KeyHolder>();
  for (const [i, line] of text.split('\n').entries()) {
    const wrong = (what: string) => new ConfigError(`${path}, line ${i + 1}: ${what}`);
    const [name, digest = '', limit, ...rest] = line.replace(/#.*/, '').split(/\s+/).filter(Boolean);
    if (name === undefined) continue;
    if (rest.length > 0) throw wrong('more than name, sha256 and limit');
    if (!KEY_NAME.test(name)) throw wrong('the name must be letters, digits, dots and dashes');
    if (!/^[0-9a-f]{64}$/.test(digest)) throw wrong("after the name must come the key's sha256, 64 hex digits");
    const perSecond = limit === undefined ? undefined : parseLimit(limit);
    if (limit !== undefined && !perSecond) throw wrong('the limit must be a positive number, requests a second');
    if (keys.has(digest)) throw wrong('this sha256 stands on an earlier line');
    keys.set(digest, { name, limit: perSecond });
  }
  if (keys.size === 0) throw new ConfigError(`${path}: there is no key in it`);
  return keys;
}
