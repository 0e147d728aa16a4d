/** Bounds how many slow questions are hedged. When everything is slow, hedging would make it slower. */
export interface HedgeBudget {
  /** A question was asked. */
  earn(): void;
  /** Whether one more may be hedged. */
  spend(): boolean;
}

const SHARE = 0.1;
const MAX = 10;

/** `most`: how many questions may be hedged in a row; 0 turns hedging off. */
export function createHedgeBudget(most = MAX): HedgeBudget {
  let saved = most;
  return {
    earn() {
      saved = Math.min(most, saved + SHARE);
    },
    spend() {
      if (saved < 1) return false;
      saved -= 1;
      return true;
    },
  };
}
