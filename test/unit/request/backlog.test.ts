import { expect, test } from 'vitest';
import { createBacklog } from '../../../shared/request/backlog.ts';

function clocked(servers = 1, batch = 1) {
  let at = 0;
  const pace = createBacklog(servers, batch, () => at);
  const pass = (milliseconds: number) => {
    at += milliseconds;
  };
  return { pace, pass };
}

test('pace: no wait is foretold while nothing is known or nothing was begun', () => {
  const { pace, pass } = clocked();
  expect(pace.waitMs).toBe(0);
  const work = pace.begin();
  expect(pace.waitMs).toBe(0);
  pass(10);
  work.done();
  expect(pace.waitMs).toBe(0);
});

test('pace: the wait is foretold from the backlog and how fast it shrank', () => {
  const { pace, pass } = clocked();
  const works = Array.from({ length: 30 }, () => pace.begin());
  for (const work of works.slice(0, 20)) {
    pass(5);
    work.done();
  }
  expect(pace.waitMs).toBeCloseTo(10 * 5, 6);
});

test('pace: slower work is noticed, a pause without work is not taken for slowness', () => {
  const { pace, pass } = clocked();
  const one = (milliseconds: number) => {
    const work = pace.begin();
    pass(milliseconds);
    work.done();
  };
  one(5);
  pass(60_000);
  for (let i = 0; i < 5; i++) one(5);
  pace.begin();
  expect(pace.waitMs).toBeCloseTo(5, 6);
  const slow = clocked();
  const works = Array.from({ length: 101 }, () => slow.pace.begin());
  works.slice(0, 100).forEach((work, i) => {
    slow.pass(i < 20 ? 5 : 50);
    work.done();
  });
  expect(slow.pace.waitMs).toBeGreaterThan(45);
});

test('pace: one piece alone on two servers takes both ways into account', () => {
  const { pace, pass } = clocked(2);
  const one = pace.begin();
  pass(10);
  one.done();
  Array.from({ length: 6 }, () => pace.begin());
  expect(pace.waitMs).toBe(30); // two at a time, ten each
});

test('pace: one stall is not taken for the new pace, but noticed while it lasts', () => {
  const { pace, pass } = clocked();
  const works = Array.from({ length: 41 }, () => pace.begin());
  for (const work of works.slice(0, 39)) {
    pass(5);
    work.done();
  }
  pass(5000);
  expect(pace.waitMs).toBeGreaterThan(4900);
  works[39]?.done();
  expect(pace.waitMs).toBeLessThan(10);
});

test('pace: slow work on one server makes nothing wait while another is free', () => {
  const { pace, pass } = clocked(2);
  for (let i = 0; i < 30; i++) {
    const work = pace.begin();
    pass(5);
    work.done();
  }
  pace.begin();
  pass(1200);
  expect(pace.waitMs).toBeLessThan(10);
  pace.begin();
  pass(1200);
  expect(pace.waitMs).toBeGreaterThan(1000); // now both are
});

test('pace: work given up leaves the backlog without counting as done, and nothing counts twice', () => {
  const { pace, pass } = clocked();
  const first = pace.begin();
  const second = pace.begin();
  const third = pace.begin();
  pass(4);
  first.done();
  first.done();
  first[Symbol.dispose]();
  expect(pace.waitMs).toBe(8);
  second[Symbol.dispose]();
  second.done();
  expect(pace.waitMs).toBe(4);
  third[Symbol.dispose]();
  expect(pace.waitMs).toBe(0);
});

test('pace: work given up soon, again and again, is neither slowness nor a stall', () => {
  const { pace, pass } = clocked(2, 4);
  let begun = [pace.begin(), pace.begin(), pace.begin()];
  const replaceOldest = () => {
    begun[0]?.[Symbol.dispose]();
    begun = [...begun.slice(1), pace.begin()];
  };
  for (let good = 0; good < 60; good++) {
    const work = pace.begin();
    for (let i = 0; i < 3; i++) {
      pass(3);
      replaceOldest();
    }
    work.done();
    expect(pace.waitMs).toBeLessThan(50);
    for (let i = 0; i < 200; i++) {
      pass(5);
      replaceOldest();
      expect(pace.waitMs).toBeLessThan(50);
    }
  }
});
