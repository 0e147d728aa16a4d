interface Bucket {
  tokens: number;
  at: number;
}

/**
 * Counts requests by name. `limit` a second may come, and up to as many at once (at least one). `clock` in
 * milliseconds.
 */
export function createTokenBuckets(clock: () => number = () => performance.now()) {
  const buckets = new Map<string, Bucket>();
  /** Takes one request in and returns 0, or returns the milliseconds until there is room for one. */
  return function take(name: string, limit: number): number {
    const now = clock();
    const size = Math.max(1, limit);
    const last = buckets.get(name) ?? { tokens: size, at: now };
    const tokens = Math.min(size, last.tokens + ((now - last.at) * limit) / 1000);
    const refused = tokens < 1;
    buckets.set(name, { tokens: refused ? tokens : tokens - 1, at: now });
    return refused ? (1000 * (1 - tokens)) / limit : 0;
  };
}
