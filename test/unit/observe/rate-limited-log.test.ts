import { expect, test } from 'vitest';
import { rateLimited } from '../../../shared/observe/rate-limited-log.ts';
import { keepLines } from '../../support/log-lines.ts';
import { waitFor } from '../../support/wait.ts';

test('rate-limited log: the first line of each kind is written at once, the others are left out', () => {
  const { log, lines } = keepLines();
  const say = rateLimited(log);
  for (let i = 0; i < 1000; i++) {
    say('warn', 'a', { i }, 'one');
    say('error', 'b', { i }, 'other');
  }
  expect(lines).toEqual([
    { level: 40, time: expect.any(Number), i: 0, msg: 'one' },
    { level: 50, time: expect.any(Number), i: 0, msg: 'other' },
  ]);
});

test('rate-limited log: after a pause the latest is written, and how many were left out; later it is new', async () => {
  const { log, lines, of } = keepLines();
  const say = rateLimited(log, { firstMs: 50, mostMs: 100 });
  for (let i = 0; i < 10; i++) say('warn', 'a', { i }, 'one');
  await waitFor(() => lines.length === 2, 'the second line');
  expect(lines[1]).toMatchObject({ i: 9, leftOut: 8 });
  await waitFor(() => {
    say('warn', 'a', { i: 'again' }, 'one');
    return of('one').length > 2;
  }, 'a third line');
  expect(of('one')[2]).toMatchObject({ i: 'again' });
});

test('rate-limited log: more kinds than can be told apart fill neither memory nor log', () => {
  const { log, lines } = keepLines();
  const say = rateLimited(log);
  for (let i = 0; i < 5000; i++) say('warn', String(i), {}, 'one');
  expect(lines.length).toBe(500);
});

test('rate-limited log: the first changes to and fro are written at once, later ones are spared', () => {
  const { log, lines } = keepLines();
  const say = rateLimited(log, { atOnce: 3 });
  for (let i = 0; i < 10; i++) say('warn', 'a', { i }, 'one');
  expect(lines.map(({ i }) => i)).toEqual([0, 1, 2]);
});
