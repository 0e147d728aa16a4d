import { afterEach, expect, test, vi } from 'vitest';
import { type CachedAnswer, createCache } from '../../../services/edge/cache.ts';

const DAY = 86_400;
/** What an entry of one label takes: 8 bytes of a probability, and what is around it. */
const ENTRY = 8 + 1024;
const picture = Uint8Array.of(1, 2, 3);

const answer = (confidence = 1, labels = 1, own = 0): CachedAnswer => ({
  probabilities: new Float64Array(labels).fill(confidence),
  edgeProbabilities: own === 0 ? null : new Float64Array(own),
  answeredBy: null,
  route: 'edge',
  degraded: null,
  decision: { strategy: 'ask', reason: 'confident', policyVersion: 'v' },
  timings: { edgeMs: 1, encodeMs: 0 },
  hops: [],
  damage: undefined,
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('cache: gives what was kept under a key, and nothing under another', () => {
  const cache = createCache(100 * ENTRY, DAY);
  const kept = answer();
  cache.set(cache.key(picture, 'ask'), kept);
  expect(cache.get(cache.key(Uint8Array.of(1, 2, 3), 'ask'))).toBe(kept);
  expect(cache.get(cache.key(Uint8Array.of(1, 2, 4), 'ask'))).toBeUndefined();
  expect(cache.get(cache.key(picture, 'ask {"threshold":0.5}'))).toBeUndefined();
});

test('cache: a key tells the bytes of a view, not of the buffer under it', () => {
  const { key } = createCache(ENTRY, DAY);
  const pool = Uint8Array.of(9, 1, 2, 3, 9);
  expect(key(pool.subarray(1, 4), 's')).toBe(key(picture, 's'));
  expect(key(pool, 's')).not.toBe(key(picture, 's'));
});

test('cache: a key does not run bytes and settings into one another', () => {
  const { key } = createCache(ENTRY, DAY);
  const all = [key(picture, ''), key(picture, ' '), key(picture, 'a'), key(new Uint8Array(), 'a')];
  expect(new Set(all).size).toBe(all.length);
});

test('cache: a later answer takes the place of an earlier one', () => {
  const cache = createCache(100 * ENTRY, DAY);
  cache.set('k', answer(0.1));
  cache.set('k', answer(0.2));
  expect(cache.get('k')?.probabilities).toEqual(Float64Array.of(0.2));
});

test('cache: when it is full the one not used for longest goes', () => {
  const cache = createCache(3 * ENTRY, DAY);
  for (const key of ['a', 'b', 'c']) cache.set(key, answer());
  cache.get('a');
  cache.set('d', answer());
  const there = ['a', 'b', 'c', 'd'].filter((key) => cache.get(key) !== undefined);
  expect(there).toEqual(['a', 'c', 'd']);
});

test('cache: bounded by bytes, of both probability vectors', () => {
  const room = 2 * (8 * 1000 + 1024);
  const kept = (labels: number, own: number) => {
    const cache = createCache(room, DAY);
    for (const key of ['a', 'b']) cache.set(key, answer(1, labels, own));
    return ['a', 'b'].filter((key) => cache.get(key) !== undefined);
  };
  expect(kept(1000, 0)).toEqual(['a', 'b']);
  expect(kept(500, 500)).toEqual(['a', 'b']);
  expect(kept(1001, 0)).toEqual(['b']);
  expect(kept(500, 501)).toEqual(['b']);
});

test('cache: an answer larger than all of it is not kept', () => {
  const cache = createCache(ENTRY, DAY);
  cache.set('small', answer());
  cache.set('large', answer(1, 2));
  expect([cache.get('small') !== undefined, cache.get('large')]).toEqual([true, undefined]);
});

test('cache: an answer is forgotten with age', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); // the cache reads the clock once a millisecond
  let time = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => time);
  const pass = (seconds: number) => {
    time += seconds * 1000;
    vi.advanceTimersByTime(seconds * 1000);
  };
  const cache = createCache(ENTRY, 60);
  cache.set('k', answer());
  pass(59);
  expect(cache.get('k')).toBeDefined();
  pass(2);
  expect(cache.get('k')).toBeUndefined();
});

test('cache: of no bytes it keeps nothing, and a key costs no pass over the bytes', () => {
  const cache = createCache(0, DAY);
  const key = cache.key(picture, 'ask');
  cache.set(key, answer());
  expect([key, cache.get(key)]).toEqual(['', undefined]);
});
