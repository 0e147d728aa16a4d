interface Bucket {
  tokens: number;
  at: number;
}

/**
 * One token bucket per name. `limit` requests a second may come, and as many at once (at least one). `clock` is in
 * milliseconds.
 */
export function createTokenBuckets(clock: () => number = () => performance.now()) {
  const buckets = new Map<string, Bucket>();
  /** Takes a token and returns 0, or returns the milliseconds until there is one. */
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
