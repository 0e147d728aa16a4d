import { expect, test } from 'vitest';
import type { Degraded, ExpertAnswer } from '../../../../services/edge/experts/ask.ts';
import { createExpertHealth } from '../../../../services/edge/experts/circuit.ts';
import { createExpertLog } from '../../../../services/edge/experts/expert-log.ts';
import { keepLines } from '../../../support/log-lines.ts';

const cost = { bytesSent: 1, roundTripMs: 1 };
const failed = (degraded: Degraded, reason: string): ExpertAnswer => ({ reply: null, degraded, reason, ...cost });
const answered: ExpertAnswer = {
  reply: { outputs: {}, expertMs: 1, modelDigest: '' },
  degraded: null,
  ...cost,
};

function setUp() {
  let time = 0;
  const { log, lines } = keepLines();
  const journal = createExpertLog(log, () => time);
  const health = createExpertHealth(
    () => time,
    (change) => journal.circuit('warm', change),
  );
  const told = () => lines.map(({ level, msg, reason, state }) => [level, msg, reason, state].join(' | '));
  const pass = (milliseconds: number) => {
    time += milliseconds;
  };
  return { journal, health, told, lines, pass };
}

test('journal: a circuit is logged once when it opens, with the reason, and once when it closes', () => {
  const { health, told, pass } = setUp();
  for (let i = 0; i < 2; i++) health.record(failed('timeout', 'deadline-exceeded'), 1000);
  expect(told()).toEqual([]);
  for (let i = 0; i < 5; i++) health.record(failed('timeout', 'deadline-exceeded'), 1000);
  pass(300);
  health.obstacle(1000);
  health.probed(failed('timeout', 'timeout'));
  pass(600);
  health.obstacle(1000);
  health.probed(answered);
  health.record(answered, 1000);
  expect(told()).toEqual([
    '40 | an expert is not asked any more, but for probes | deadline-exceeded | open',
    '30 | an expert answers again | answered | closed',
  ]);
});

test('journal: an absent expert is logged once, however often that is found out, also after it was forgotten', () => {
  const { health, told, pass } = setUp();
  for (let i = 0; i < 20; i++) {
    health.record(failed('no-expert', 'no-responders'), 1000);
    pass(10_000);
    expect(health.obstacle(1000)).toBeNull();
  }
  health.record(answered, 1000);
  expect(told()).toEqual([
    '40 | an expert is not asked any more, but for probes | no-responders | absent',
    '30 | an expert answers again | answered | closed',
  ]);
});

test('journal: the failure of every escalation is logged once it lasts, and when it is over', () => {
  const { journal, told, lines, pass } = setUp();
  for (let i = 0; i < 10; i++) journal.escalated('timeout');
  pass(4000);
  journal.escalated('timeout');
  journal.escalated(null);
  journal.escalated('timeout');
  pass(6000);
  journal.escalated('timeout');
  expect(told()).toEqual([]);
  for (let i = 0; i < 10; i++) journal.escalated('circuit-open');
  expect(told()).toEqual(['50 | every escalation fails: the generalist answers alone | circuit-open | ']);
  expect(lines[0]).toMatchObject({ failures: 3, seconds: 6 });
  for (let i = 0; i < 3; i++) journal.escalated(null);
  expect(told().slice(1)).toEqual(['30 | escalations are answered again |  | ']);
  expect(lines[1]).toMatchObject({ failures: 12 });
});

test('journal: the first failure of each kind is logged', () => {
  const { journal, told } = setUp();
  for (let i = 0; i < 100; i++) {
    journal.failed('warm', 'model-failed', 'it says so');
    journal.failed('warm', 'unreadable', 'headers');
    journal.failed('cold', 'unreadable', 'headers');
  }
  expect(told().length).toBe(3);
});
