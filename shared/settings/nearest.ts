import leven from 'leven';

/** The names of `known` that a misspelt one may mean: at most three, the nearest first. */
export function nearest(name: string, known: string[]): string[] {
  const typed = name.toLowerCase();
  const distances = known.map((candidate) => ({ candidate, distance: leven(typed, candidate.toLowerCase()) }));
  return distances
    .filter(({ candidate, distance }) => distance <= Math.max(2, Math.max(name.length, candidate.length) * 0.4))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}
