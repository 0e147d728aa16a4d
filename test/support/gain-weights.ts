/** Weights of an expected gain that nothing counts for. */
export const NO_WEIGHTS = {
  mass: 0,
  best: 0,
  next: 0,
  confidence: 0,
  runnerUp: 0,
  entropy: 0,
  ownsFirst: 0,
  ownsSecond: 0,
  massSquared: 0,
  confidenceSquared: 0,
  massTimesConfidence: 0,
  massTimesBest: 0,
};
