import { afterAll, describe, expect, test } from 'vitest';
import { rollOut } from './rolling.ts';
import { type Row, runFault } from './run.ts';
import { faults } from './table.ts';
import { toTable } from './table-print.ts';

const rows: Row[] = [];
afterAll(() => void process.stdout.write(toTable(rows)));

describe.concurrent('whatever goes wrong, every request is answered once, in time, and truly', {
  timeout: 90_000,
}, () => {
  test.each(faults)('$name', async (fault) => {
    const row = await runFault(fault);
    rows.push(row);
    expect(row.violations).toEqual([]);
  });
});

test('every service is restarted under load and no request fails', { timeout: 120_000 }, async () => {
  const { failed, degraded, restarts } = await rollOut(1000, 60);
  expect([failed, degraded]).toEqual([0, 0]);
  expect(restarts).toBeGreaterThanOrEqual(6);
});
