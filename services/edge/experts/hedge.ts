import type { Consultation } from './consult.ts';
import type { HedgeBudget } from './hedge-budget.ts';

interface HedgedChoices {
  first(): Promise<Consultation>;
  second(): Promise<Consultation>;
  /** Milliseconds after which the first counts as slow; undefined: never. */
  slowMs: number | undefined;
  budget: HedgeBudget;
}

/**
 * Asks the runner-up too if the first choice fails or is slow. The first answer wins; if neither answers, it resolves
 * with the first choice's failure. The caller cancels the other question. After "The Tail at Scale" (Dean and Barroso,
 * 2013).
 */
export async function askHedged({ first, second, slowMs, budget }: HedgedChoices): Promise<Consultation> {
  budget.earn();
  const one = first();
  let early = await orSlow(one, slowMs);
  if (early === 'slow' && !budget.spend()) early = await one;
  // An overloaded expert usually shares its machine with the others.
  if (early !== 'slow' && (early.reply !== null || early.degraded === 'overloaded')) return early;
  const answered = [one, second()].map(async (asked) => {
    const consultation = await asked;
    if (consultation.reply === null) throw consultation;
    return consultation;
  });
  return Promise.any(answered).catch(() => one);
}

async function orSlow(asked: Promise<Consultation>, slowMs: number | undefined): Promise<Consultation | 'slow'> {
  if (slowMs === undefined) return asked;
  const { promise, resolve } = Promise.withResolvers<'slow'>();
  const timer = setTimeout(resolve, slowMs, 'slow');
  return Promise.race([asked, promise]).finally(() => clearTimeout(timer));
}
