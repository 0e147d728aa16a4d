import { LRUCache } from 'lru-cache';
import type { Outcome } from './strategy.ts';

export interface AnswerCache {
  get(key: string): Outcome | undefined;
  set(key: string, outcome: Outcome): void;
}

/** Answers by image content and settings, bounded by bytes and age. `maxBytes` 0 keeps nothing. */
export function createCache(maxBytes: number, ttlSeconds: number): AnswerCache {
  if (maxBytes === 0) return { get: () => undefined, set: () => {} };
  return new LRUCache<string, Outcome>({
    maxSize: maxBytes,
    sizeCalculation: sizeOf,
    ttl: ttlSeconds * 1000,
  });
}

/** Bytes an entry holds: two probability vectors, the key (a digest), and the objects around them. */
function sizeOf(outcome: Outcome): number {
  return outcome.probabilities.byteLength + outcome.edgeProbabilities.byteLength + 1024;
}
