import { describe, expect, test } from 'vitest';
import { createAdmission } from '../../../../services/edge/load/admission.ts';
import type { AppError } from '../../../../shared/request/errors.ts';
import { createPace } from '../../../../shared/request/pace.ts';

/** A device that needs 10 ms for each piece of work, and has `backlog` of them before it. */
function setUp(limit: number, backlog = 0) {
  let now = 0;
  const pace = createPace(1, 1, () => now);
  for (let i = 0; i < 20; i++) {
    const work = pace.begin();
    now += 10;
    work.done();
  }
  for (let i = 0; i < backlog; i++) pace.begin();
  expect(pace.waitMs).toBeCloseTo(10 * backlog, 6);
  return createAdmission(limit, pace);
}

function refusalOf(action: () => void): AppError | undefined {
  try {
    action();
  } catch (error) {
    return error as AppError;
  }
}

describe('admission', () => {
  test('as many are in as the limit says, and one that leaves makes room', () => {
    const admission = setUp(2);
    admission.enter(1000);
    admission.enter(1000);
    const refusal = refusalOf(() => admission.enter(1000));
    expect([refusal?.code, refusal?.message]).toEqual(['overloaded', '2 requests are being answered already']);
    admission.leave();
    expect(refusalOf(() => admission.enter(1000))).toBeUndefined();
  });

  test('check refuses as enter does, and counts nobody', () => {
    const admission = setUp(1);
    for (let i = 0; i < 3; i++) admission.check(1000);
    admission.enter(1000);
    expect(refusalOf(() => admission.check(1000))?.code).toBe('overloaded');
  });

  test('a request is refused when the work before it takes more than four fifths of its deadline', () => {
    const admission = setUp(100, 50);
    expect(refusalOf(() => admission.enter(626))).toBeUndefined();
    const refusal = refusalOf(() => admission.enter(624));
    expect(refusal?.message).toMatch(/^about 50\d ms of work are waiting, the deadline is 624 ms$/);
  });

  test('the refusal says to come back when the work before it is done, a second from now at the earliest', () => {
    expect(refusalOf(() => setUp(100, 50).enter(1))?.retryAfterMs).toBe(1000);
    expect(refusalOf(() => setUp(100, 300).enter(1))?.retryAfterMs).toBeCloseTo(3000, 6);
  });

  test('escalations are given up before requests are refused: by age at two fifths, by count at three quarters', () => {
    const old = setUp(100, 50);
    expect([old.sheds(1251), old.sheds(1249)]).toEqual([false, true]);
    const full = setUp(8);
    for (let i = 0; i < 6; i++) full.enter(1000);
    expect(full.sheds(1000)).toBe(false);
    full.enter(1000);
    expect(full.sheds(1000)).toBe(true);
  });

  test('it is nearly full between the two: by age at three fifths, by count at nine tenths', () => {
    const old = setUp(100, 50);
    expect([old.nearlyFull(834), old.nearlyFull(833)]).toEqual([false, true]);
    const full = setUp(10);
    for (let i = 0; i < 9; i++) full.enter(1000);
    expect(full.nearlyFull(1000)).toBe(false);
    full.enter(1000);
    expect(full.nearlyFull(1000)).toBe(true);
  });

  test('a single request never makes a small limit shed or nearly full', () => {
    const admission = setUp(1);
    admission.enter(1000);
    expect([admission.sheds(1000), admission.nearlyFull(1000)]).toEqual([false, false]);
  });
});
