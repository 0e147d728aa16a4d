/** Bounds how many questions may be asked twice for slowness: when everything is slow, that would make it slower. */
export interface HedgeBudget {
  /** A question was asked. */
  earn(): void;
  /** Whether one more may be asked twice. */
  spend(): boolean;
}

const SHARE = 0.1;
const MAX = 10;

/** `most`: questions that may be asked twice in a row; 0: none ever. */
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
