/** P(X <= k) for X ~ Binomial(n, p), exact up to rounding. */
export function binomialCdf(k: number, n: number, p: number): number {
  if (k < 0) return 0;
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  const logOdds = Math.log(p) - Math.log1p(-p);
  let logTerm = n * Math.log1p(-p);
  let sum = Math.exp(logTerm);
  for (let i = 0; i < k; i++) {
    logTerm += Math.log((n - i) / (i + 1)) + logOdds;
    sum += Math.exp(logTerm);
  }
  return Math.min(1, sum);
}

/** The p in 0..1 at which the decreasing function `at` falls to `level`. */
function falls(at: (p: number) => number, level: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (at(middle) > level) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * One-sided Clopper-Pearson bounds of a proportion, from k of n. Each is wrong with probability at most `delta`, for
 * every n and every true proportion (Clopper and Pearson, Biometrika 26, 1934).
 */
export function lowerBound(k: number, n: number, delta: number): number {
  return k === 0 ? 0 : falls((p) => binomialCdf(k - 1, n, p), 1 - delta);
}

export function upperBound(k: number, n: number, delta: number): number {
  return k === n ? 1 : falls((p) => binomialCdf(k, n, p), delta);
}

/** `lowerBound(k, n, delta) >= share`, without the search for the bound. */
export function certainlyAtLeast(share: number, k: number, n: number, delta: number): boolean {
  return k === 0 ? share <= 0 : binomialCdf(k - 1, n, share) >= 1 - delta;
}

/** `upperBound(k, n, delta) <= share`, without the search for the bound. */
export function certainlyAtMost(share: number, k: number, n: number, delta: number): boolean {
  return k === n ? share >= 1 : binomialCdf(k, n, share) <= delta;
}
