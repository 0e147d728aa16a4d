import { expect, test } from 'vitest';
import { createAdmission } from '../../../../services/edge/load/admission.ts';
import { createBacklog } from '../../../../shared/request/backlog.ts';
import { AppError } from '../../../../shared/request/errors.ts';

const PATIENT = 600_000;

/** A backlog that foretells `waitMs`: one server has taken as long for its first piece, and has one more to do. */
function backlogOf(waitMs: number) {
  let time = 0;
  const backlog = createBacklog(1, 1, () => time);
  if (waitMs === 0) return { backlog, last: undefined };
  const first = backlog.begin();
  time = waitMs;
  first.done();
  return { backlog, last: backlog.begin() };
}

function setUp(limit: number, waitMs = 0) {
  const { backlog, last } = backlogOf(waitMs);
  expect(backlog.waitMs).toBe(waitMs);
  return { admission: createAdmission(limit, backlog), last };
}

/** With so many requests inside. */
function full(limit: number, count: number) {
  const { admission } = setUp(limit);
  for (let i = 0; i < count; i++) admission.enter(PATIENT);
  return admission;
}

function refusal(check: () => void): AppError | null {
  try {
    check();
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    return error as AppError;
  }
}

test('admission: as many as the limit get in, the next is refused as overload', () => {
  const admission = full(3, 3);
  const error = refusal(() => admission.enter(PATIENT));
  expect(error).toMatchObject({ code: 'overloaded', status: 429, retryAfterMs: 1000 });
  expect(error?.message).toBe('3 requests are being answered already');
});

test('admission: who leaves makes room for one', () => {
  const admission = full(2, 2);
  admission.leave();
  admission.enter(PATIENT);
  expect(refusal(() => admission.enter(PATIENT))?.code).toBe('overloaded');
});

test('admission: a check takes no place, and one that was refused has none', () => {
  const admission = full(1, 0);
  for (let i = 0; i < 5; i++) admission.check(PATIENT);
  admission.enter(PATIENT);
  for (let i = 0; i < 5; i++) expect(refusal(() => admission.enter(PATIENT))).not.toBeNull();
  admission.leave();
  expect(refusal(() => admission.check(PATIENT))).toBeNull();
});

test('admission: escalations are shed before load balancers are told, and both before anyone is refused', () => {
  const states = Array.from({ length: 21 }, (_, count) => {
    const admission = full(20, count);
    const refused = refusal(() => admission.check(PATIENT)) !== null;
    return [admission.sheds(PATIENT), admission.nearlyFull(PATIENT), refused];
  });
  const first = (which: number) => states.findIndex((state) => state[which]);
  expect([first(0), first(1), first(2)]).toEqual([16, 19, 20]);
  expect(states.at(-1)).toEqual([true, true, true]);
});

test('admission: one request alone is never too many for an expert, however low the limit', () => {
  const admission = full(1, 1);
  expect([admission.sheds(PATIENT), admission.nearlyFull(PATIENT)]).toEqual([false, false]);
});

test('admission: a backlog that would take most of the deadline refuses, and says when to come again', () => {
  const { admission } = setUp(100, 4001);
  const error = refusal(() => admission.enter(5000));
  expect(error).toMatchObject({ code: 'overloaded', retryAfterMs: 4001 });
  expect(error?.message).toBe('about 4001 ms of work are waiting, the deadline is 5000 ms');
  expect(refusal(() => admission.enter(5002))).toBeNull();
});

test('admission: nobody is told to come again within a second', () => {
  const { admission } = setUp(100, 200);
  expect(refusal(() => admission.check(100))?.retryAfterMs).toBe(1000);
});

test('admission: each deadline by itself: sheds first, then nearly full, then refused', () => {
  const { admission } = setUp(100, 1000);
  const state = (deadlineMs: number) => [
    admission.sheds(deadlineMs),
    admission.nearlyFull(deadlineMs),
    refusal(() => admission.check(deadlineMs)) !== null,
  ];
  expect(state(2600)).toEqual([false, false, false]);
  expect(state(2400)).toEqual([true, false, false]);
  expect(state(1600)).toEqual([true, true, false]);
  expect(state(1200)).toEqual([true, true, true]);
});

test('admission: once the backlog is done everyone gets in', () => {
  const { admission, last } = setUp(100, 1000);
  expect(refusal(() => admission.check(1000))?.code).toBe('overloaded');
  last?.[Symbol.dispose]();
  expect(refusal(() => admission.check(1000))).toBeNull();
  expect([admission.sheds(1000), admission.nearlyFull(1000)]).toEqual([false, false]);
});
