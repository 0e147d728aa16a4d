import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Outcome } from './strategy.ts';

export interface AnswerCache {
  /** Names a picture's bytes together with what else the answer depends on; costs a pass over the bytes. */
  key(bytes: Uint8Array, settings: string): string;
  get(key: string): Outcome | undefined;
  set(key: string, outcome: Outcome): void;
}

/** Answers by image content and settings, bounded by bytes and age. `maxBytes` 0 keeps nothing. */
export function createCache(maxBytes: number, ttlSeconds: number): AnswerCache {
  if (maxBytes === 0) return { key: () => '', get: () => undefined, set: () => {} };
  const answers = new LRUCache<string, Outcome>({
    maxSize: maxBytes,
    sizeCalculation: sizeOf,
    ttl: ttlSeconds * 1000,
  });
  return {
    key: (bytes, settings) => `${hash('sha256', bytes, 'base64')} ${settings}`,
    get: (key) => answers.get(key),
    set: (key, outcome) => void answers.set(key, outcome),
  };
}

/** Bytes an entry holds: two probability vectors, the key (a digest), and the objects around them. */
function sizeOf(outcome: Outcome): number {
  return outcome.probabilities.byteLength + outcome.edgeProbabilities.byteLength + 1024;
}
