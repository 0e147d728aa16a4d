import { expect, test } from 'vitest';
import type { Degraded, ExpertAnswer } from '../../../../services/edge/experts/ask.ts';
import { createExpertHealth } from '../../../../services/edge/experts/circuit.ts';

const failed = (degraded: Degraded): ExpertAnswer => ({ reply: null, degraded, bytesSent: 1, roundTripMs: 1 });
const answered = (roundTripMs = 10): ExpertAnswer => ({
  reply: { outputs: {}, expertMs: 1, modelDigest: '' },
  degraded: null,
  bytesSent: 1,
  roundTripMs,
});

function setUp() {
  let time = 0;
  const health = createExpertHealth(() => time);
  return {
    // Most callers here wait a second.
    health: {
      record: health.record.bind(health),
      probed: health.probed.bind(health),
      obstacle: (waitMs = 1000) => health.obstacle(waitMs),
      get state() {
        return health.state;
      },
      get p95Ms() {
        return health.p95Ms;
      },
    },
    pass(milliseconds: number) {
      time += milliseconds;
    },
    fail(times: number, degraded: Degraded = 'timeout', allowedMs = 1000) {
      for (let i = 0; i < times; i++) health.record(failed(degraded), allowedMs);
    },
  };
}

test('circuit: three failures in a row open it, an answer between them prevents that', () => {
  const { health, fail } = setUp();
  fail(2);
  health.record(answered(), 1000);
  fail(2, 'expert-error');
  expect(health.obstacle()).toBeNull();
  fail(1);
  expect(health.obstacle()).toEqual({ degraded: 'circuit-open', probe: false });
  expect(health.state).toBe('open');
});

test('circuit: refusals of pictures are no failures, but many in a row count as one', () => {
  const { health, fail, pass } = setUp();
  const refusal: ExpertAnswer = {
    reply: null,
    degraded: 'expert-error',
    cause: 'picture',
    bytesSent: 1,
    roundTripMs: 1,
  };
  const refuse = (times: number) => Array.from({ length: times }, () => health.record(refusal, 1000));
  for (let i = 0; i < 9; i++) {
    refuse(19);
    health.record(answered(), 1000);
  }
  expect(health.state).toBe('closed');
  refuse(60);
  expect(health.state).toBe('open');
  health.record(answered(), 1000);
  fail(3);

  pass(250);
  expect(health.obstacle()?.probe).toBe(true);
  health.probed(refusal); // tells nothing
  expect(health.obstacle()).toEqual({ degraded: 'circuit-open', probe: false });
  pass(250);
  expect(health.obstacle()?.probe).toBe(true);
  health.probed(answered());
  expect(health.obstacle()).toBeNull();
});

test('circuit: while open one probe at a time is due, each later than the one before; an answer closes it', () => {
  const { health, fail, pass } = setUp();
  fail(3);
  const due = () => health.obstacle()?.probe;
  const waits: number[] = [];
  for (let i = 0; i < 5; i++) {
    let waited = 0;
    while (!due()) {
      pass(10);
      waited += 10;
    }
    waits.push(waited);
    expect(due()).toBe(false);
    health.probed(failed('timeout'));
  }
  expect(waits).toEqual([250, 500, 1000, 1000, 1000]);
  pass(1000);
  expect(due()).toBe(true);
  health.probed(answered());
  expect([health.obstacle(), health.state]).toEqual([null, 'closed']);
});

test('circuit: a probe answered later than callers could wait does not close it', () => {
  const { health, fail, pass } = setUp();
  fail(3, 'timeout', 1000);
  pass(250);
  expect(health.obstacle()?.probe).toBe(true);
  health.probed(answered(1300));
  expect(health.obstacle()).toEqual({ degraded: 'circuit-open', probe: false });
  pass(250); // it lives: the next one soon
  expect(health.obstacle()?.probe).toBe(true);
  health.probed(answered(900));
  expect(health.obstacle()).toBeNull();
});

test('circuit: an expert too slow for hurried callers is asked for patient ones, until it falls silent', () => {
  const { health, fail, pass } = setUp();
  for (let i = 0; i < 20; i++) health.record(answered(30), 1000);
  fail(3, 'timeout', 350);
  expect(health.obstacle(2000)).toEqual({ degraded: 'circuit-open', probe: false });
  pass(250);
  expect(health.obstacle(350)?.probe).toBe(true);
  health.probed(answered(400));
  expect(health.obstacle(2000)).toBeNull();
  expect(health.obstacle(480)).toEqual({ degraded: 'circuit-open', probe: false });
  health.record(answered(410), 2000);
  expect([health.obstacle(2000), health.state]).toEqual([null, 'open']);
  fail(2, 'timeout', 2000);
  expect(health.obstacle(2000)).toBeNull();
  fail(1, 'timeout', 2000);
  expect(health.obstacle(2000)).toEqual({ degraded: 'circuit-open', probe: false });
});

test('circuit: it stays open for hurried callers when a patient one waits in vain', () => {
  const { health, fail, pass } = setUp();
  for (let i = 0; i < 20; i++) health.record(answered(30), 1000);
  fail(3, 'timeout', 350);
  pass(250);
  health.obstacle();
  health.probed(answered(400));
  for (let i = 0; i < 60; i++) health.record(answered(400), 2000);
  fail(1, 'timeout', 2000);
  health.record(answered(400), 2000);
  expect([health.obstacle(350)?.degraded, health.obstacle(2000)]).toEqual(['circuit-open', null]);
  fail(3, 'timeout', 590); // it has fallen silent, and is known to answer sooner
  expect([health.obstacle(590)?.degraded, health.obstacle(2000)?.degraded]).toEqual(['circuit-open', 'circuit-open']);
});

test('circuit: an expert that was too slow and is quick again is asked for everyone', () => {
  const { health, fail, pass } = setUp();
  fail(3, 'timeout', 350);
  pass(250);
  health.obstacle();
  health.probed(answered(400));
  health.record(answered(30), 2000);
  expect([health.obstacle(350), health.state]).toEqual([null, 'closed']);
});

test('circuit: failures under way when it opened do not postpone the probe', () => {
  const { health, fail, pass } = setUp();
  fail(3);
  pass(200);
  fail(20);
  pass(50);
  expect(health.obstacle()?.probe).toBe(true);
});

test('circuit: absence is believed at once and probed, and forgotten after a while', () => {
  const { health, fail, pass } = setUp();
  fail(1, 'no-expert');
  expect([health.obstacle(), health.state]).toEqual([{ degraded: 'no-expert', probe: false }, 'absent']);
  pass(250);
  expect([health.obstacle()?.probe, health.obstacle()?.probe]).toEqual([true, false]);
  health.probed(failed('no-expert'));
  pass(5249);
  expect(health.obstacle()).toEqual({ degraded: 'no-expert', probe: true });
  pass(1);
  expect([health.obstacle(), health.state]).toEqual([null, 'closed']);
});

test('circuit: an expert found absent by its probe counts as absent', () => {
  const { health, fail, pass } = setUp();
  fail(3);
  pass(250);
  health.obstacle();
  health.probed(failed('no-expert'));
  expect(health.state).toBe('absent');
});

test('circuit: an absent expert that comes back silent is probed ever later, and not forgotten', () => {
  const { health, fail, pass } = setUp();
  fail(1, 'no-expert');
  pass(250);
  health.obstacle();
  health.probed(failed('timeout'));
  expect([health.state, health.obstacle()?.probe]).toEqual(['open', false]);
  pass(10_000);
  expect(health.obstacle()).toEqual({ degraded: 'circuit-open', probe: true });
});

test('circuit: a probe that could not be sent is due again at once', () => {
  const { health, fail, pass } = setUp();
  fail(3);
  pass(250);
  expect(health.obstacle()?.probe).toBe(true);
  health.probed(null);
  expect(health.obstacle()?.probe).toBe(true);
});

test('circuit: a wait of a second is long enough, however slow the expert is', () => {
  const { health, fail } = setUp();
  for (let i = 0; i < 20; i++) health.record(answered(700), 2000);
  fail(3, 'timeout', 1000);
  expect(health.state).toBe('open');
});

test('circuit: an overloaded expert counts as present', () => {
  const { health, fail } = setUp();
  fail(2);
  fail(1, 'overloaded');
  fail(2);
  expect(health.obstacle()).toBeNull();
});

test('circuit: waits too short for any expert do not open it', () => {
  const { health, fail } = setUp();
  fail(50, 'timeout', 249);
  expect(health.state).toBe('closed');
  for (let i = 0; i < 20; i++) health.record(answered(200), 1000);
  fail(50, 'timeout', 599);
  expect(health.state).toBe('closed');
  fail(3, 'timeout', 600);
  expect(health.state).toBe('open');
});

test('circuit: the 95th percentile is of the last 64 answers, and known after twenty', () => {
  const { health } = setUp();
  for (let i = 0; i < 19; i++) health.record(answered(1), 1000);
  expect(health.p95Ms).toBeUndefined();
  for (let i = 1; i <= 100; i++) health.record(answered(i), 1000);
  expect(health.p95Ms).toBe(97); // of 37 to 100
});
