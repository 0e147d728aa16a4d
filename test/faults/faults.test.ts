import { afterAll, describe, expect, test } from 'vitest';
import { rollOut } from './rolling.ts';
import { type Row, runFault } from './run.ts';
import { faults } from './table.ts';
import { toTable } from './table-print.ts';

// The short form: one of each kind; `npm run test:faults` tries them all, on a machine that does nothing else.
const tried = [
  'broker killed and restarted',
  'broker frozen',
  'expert frozen',
  'expert answers NaN',
  'full disk for the log',
  'trace collector that never answers',
  "edge's model process hangs",
  '1,000 clients that connect and say nothing',
];
const PATIENCE = 2.5; // other tests run beside these

const rows: Row[] = [];
afterAll(() => void process.stdout.write(toTable(rows)));

test('faults: the short form names existing ones', () => {
  expect(faults.filter(({ name }) => tried.includes(name))).toHaveLength(tried.length);
});

describe('faults: every request is answered once, in time, and truly', { timeout: 90_000 }, () => {
  test.each(faults.filter(({ name }) => tried.includes(name)))('$name', async (fault) => {
    const row = await runFault(fault, PATIENCE);
    rows.push(row);
    expect(row.violations).toEqual([]);
  });
});

test('faults: every service is restarted under load and no request fails', { timeout: 120_000 }, async () => {
  // Answers may be degraded where the machine is too busy for experts: `npm run test:faults` says how many are.
  const { failed, restarts } = await rollOut(1000, 60);
  expect(failed).toBe(0);
  expect(restarts).toBeGreaterThanOrEqual(6);
});
