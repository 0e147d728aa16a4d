import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Degraded } from '../../../../services/edge/experts/ask.ts';
import type { Consultation } from '../../../../services/edge/experts/consult.ts';
import { askHedged } from '../../../../services/edge/experts/hedge.ts';
import { createHedgeBudget } from '../../../../services/edge/experts/hedge-budget.ts';

const answer = (expert: string): Consultation => ({
  expert,
  reply: { outputs: {}, expertMs: 1, modelDigest: '' },
  degraded: null,
  bytesSent: 1,
  roundTripMs: 1,
});
const failure = (expert: string, degraded: Degraded): Consultation => ({
  expert,
  reply: null,
  degraded,
  bytesSent: 1,
  roundTripMs: 1,
});

interface Case {
  first: Promise<Consultation>;
  second?: Consultation;
  slowMs?: number;
  budget?: ReturnType<typeof createHedgeBudget>;
}

async function ask({ first, second = answer('second'), slowMs, budget = createHedgeBudget() }: Case) {
  let asked = 0;
  const seconds = async () => {
    asked += 1;
    return second;
  };
  const { expert, degraded } = await askHedged({ first: () => first, second: seconds, slowMs, budget });
  return { expert, degraded, asked };
}

const never = new Promise<Consultation>(() => {});

describe('hedge: the runner-up', () => {
  test('is left alone when the first choice answers in time', async () => {
    expect(await ask({ first: Promise.resolve(answer('first')), slowMs: 10_000 })).toMatchObject({ asked: 0 });
  });

  test.each<Degraded>(['no-expert', 'circuit-open', 'expert-error'])(
    'answers for a first choice that is %s',
    async (degraded) => {
      const first = Promise.resolve(failure('first', degraded));
      expect(await ask({ first })).toEqual({ expert: 'second', degraded: null, asked: 1 });
    },
  );

  test('is not asked when the first choice is overloaded: as a rule they share a machine', async () => {
    const first = Promise.resolve(failure('first', 'overloaded'));
    expect(await ask({ first })).toEqual({ expert: 'first', degraded: 'overloaded', asked: 0 });
  });

  test('answers for a first choice that is slow', async () => {
    expect(await ask({ first: never, slowMs: 1 })).toEqual({ expert: 'second', degraded: null, asked: 1 });
  });

  test('that fails leaves the answer to a slow first choice, and the reason to a failed one', async () => {
    const second = failure('second', 'no-expert');
    const slow = sleep(20, answer('first'));
    expect(await ask({ first: slow, second, slowMs: 1 })).toEqual({ expert: 'first', degraded: null, asked: 1 });
    const first = Promise.resolve(failure('first', 'circuit-open'));
    expect(await ask({ first, second })).toEqual({ expert: 'first', degraded: 'circuit-open', asked: 1 });
  });

  test('is asked when the first choice was slow without a budget, and then fails', async () => {
    const budget = createHedgeBudget(0);
    const first = sleep(20, failure('first', 'expert-error'));
    expect(await ask({ first, slowMs: 1, budget })).toEqual({ expert: 'second', degraded: null, asked: 1 });
  });

  test('is asked for slowness no more often than the budget allows', async () => {
    const budget = createHedgeBudget();
    let asked = 0;
    for (let i = 0; i < 300; i++) asked += (await ask({ first: sleep(3, answer('first')), slowMs: 0, budget })).asked;
    expect(asked).toBeGreaterThan(30);
    expect(asked).toBeLessThanOrEqual(10 + 30);
  });
});
