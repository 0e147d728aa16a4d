import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Damage } from '../../shared/wire/damage.ts';
import type { Outcome } from './strategies/strategy.ts';

/** What the cache keeps of an answer. */
export interface CachedAnswer extends Outcome {
  /** What is wrong with the picture; undefined: nothing. */
  damage: Damage | undefined;
}

export interface AnswerCache {
  /** The key of a picture's bytes and of the settings that the answer depends on. Costs a pass over the bytes. */
  key(bytes: Uint8Array, settings: string): string;
  get(key: string): CachedAnswer | undefined;
  set(key: string, known: CachedAnswer): void;
}

/** Answers by a picture's bytes and settings, bounded by bytes and age. `maxBytes` 0 turns the cache off. */
export function createCache(maxBytes: number, ttlSeconds: number): AnswerCache {
  if (maxBytes === 0) return { key: () => '', get: () => undefined, set: () => {} };
  const answers = new LRUCache<string, CachedAnswer>({
    maxSize: maxBytes,
    sizeCalculation: sizeOf,
    ttl: ttlSeconds * 1000,
  });
  return {
    key: (bytes, settings) => `${hash('sha256', bytes, 'base64')} ${settings}`,
    get: (key) => answers.get(key),
    set: (key, known) => void answers.set(key, known),
  };
}

/** Bytes of an entry: two probability vectors, the key (a digest), and the objects around them. */
function sizeOf(outcome: Outcome): number {
  return outcome.probabilities.byteLength + (outcome.edgeProbabilities?.byteLength ?? 0) + 1024;
}
