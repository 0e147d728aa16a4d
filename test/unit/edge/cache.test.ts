import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createCache, type Known } from '../../../services/edge/cache.ts';

const known = (label: number, classes = 4): Known => ({
  probabilities: Float64Array.from({ length: classes }, (_, i) => (i === label ? 1 : 0)),
  edgeProbabilities: new Float64Array(classes),
  answeredBy: null,
  route: 'edge',
  degraded: null,
  decision: { strategy: 'ask', reason: 'confident', policyVersion: '1' },
  timings: { edgeMs: 1, encodeMs: 0 },
  hops: [],
  damage: undefined,
});
const bytes = (text: string) => Buffer.from(text);
const ENTRY = 1024 + 2 * 4 * 8; // bytes: its objects and two vectors of four

describe('cache', () => {
  test('an answer is found by the bytes and the settings, and by nothing else', () => {
    const cache = createCache(1e6, 60);
    cache.set(cache.key(bytes('picture'), 'ask 0.5'), known(1));
    expect(cache.get(cache.key(bytes('picture'), 'ask 0.5'))).toEqual(known(1));
    expect(cache.get(cache.key(bytes('picture'), 'ask 0.6'))).toBeUndefined();
    expect(cache.get(cache.key(bytes('another'), 'ask 0.5'))).toBeUndefined();
  });

  test('a key does not keep the bytes', () => {
    expect(createCache(1e6, 60).key(Buffer.alloc(1e6), '').length).toBeLessThan(64);
  });

  test('the answer used longest ago goes when its bytes are used up', () => {
    const cache = createCache(2 * ENTRY, 60);
    cache.set('a', known(0));
    cache.set('b', known(1));
    cache.get('a');
    cache.set('c', known(2));
    expect(['a', 'b', 'c'].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true]);
  });

  test('an answer counts with both its vectors', () => {
    const cache = createCache(2 * ENTRY, 60);
    cache.set('a', known(0));
    cache.set('b', known(1, 8));
    expect(['a', 'b'].map((key) => cache.get(key) !== undefined)).toEqual([false, true]);
  });

  test('0 bytes keep nothing, and no key is computed', () => {
    const cache = createCache(0, 60);
    const key = cache.key(bytes('picture'), 'ask');
    cache.set(key, known(1));
    expect([key, cache.get(key)]).toEqual(['', undefined]);
  });

  test('an answer is forgotten when its time is over, however often it was used', () => {
    const cache = createCache(1e6, 60);
    const begun = performance.now();
    const now = vi.spyOn(performance, 'now');
    vi.useFakeTimers({ toFake: ['setTimeout'] }); // with which the cache remembers the time for a millisecond
    const at = (milliseconds: number) => {
      now.mockReturnValue(begun + milliseconds);
      vi.runAllTimers();
    };
    onTestFinished(() => {
      vi.useRealTimers();
      now.mockRestore();
    });
    at(0);
    cache.set('a', known(0));
    at(59_000);
    expect(cache.get('a')).toEqual(known(0));
    at(61_000);
    expect(cache.get('a')).toBeUndefined();
  });
});
