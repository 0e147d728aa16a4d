import setup from '../support/global-setup.ts';
import { type Row, runFault } from './run.ts';
import { faults } from './table.ts';
import { toTable } from './table-print.ts';

const EXTRA_MS = 5; // what knowing that nobody is there may cost at p99

await setup();
const wanted = process.argv[2] ?? '';
const rows: Row[] = [];
for (const fault of faults.filter(({ name }) => name.includes(wanted))) {
  const row = await runFault(fault);
  if ((row.extraP99Ms ?? 0) > EXTRA_MS) row.violations.push(`${row.extraP99Ms} ms more at p99 while nobody was there`);
  rows.push(row);
  process.stderr.write(`${row.violations.length === 0 ? 'holds' : 'FAILS'}: ${fault.name}\n`);
}
process.stdout.write(toTable(rows));
process.exit(rows.some(({ violations }) => violations.length > 0) ? 1 : 0);
