import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import setup from '../support/global-setup.ts';
import { rollOut } from './rolling.ts';
import { type Row, runFault } from './run.ts';
import { faults } from './table.ts';
import { toTable } from './table-print.ts';

// npm run -s test:faults -- [PART OF A NAME] [--requests 10000] [--save]
// The table of faults, and every service restarted in turn under load; --save keeps them in test/faults/results.

const EXTRA_MS = 5; // what knowing that nobody is there may cost at p99

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { requests: { type: 'string', default: '10000' }, save: { type: 'boolean', default: false } },
});
await setup();
const wanted = positionals[0] ?? '';
const rows: Row[] = [];
for (const fault of faults.filter(({ name }) => name.includes(wanted))) {
  const row = await runFault(fault);
  if ((row.extraP99Ms ?? 0) > EXTRA_MS) row.violations.push(`${row.extraP99Ms} ms more at p99 while nobody was there`);
  rows.push(row);
  process.stderr.write(`${row.violations.length === 0 ? 'holds' : 'FAILS'}: ${fault.name}\n`);
}
let report = toTable(rows);
let failed = rows.filter(({ violations }) => violations.length > 0).length;
if (wanted === '') {
  const rolled = await rollOut(Number(values.requests));
  failed += rolled.failed;
  report += `\nRolling restarts at half of saturation (${rolled.perSecond} requests a second): ${rolled.requests} requests, `;
  report += `${rolled.restarts} restarts, ${rolled.failed} failed, ${rolled.degraded} degraded.\n`;
}
process.stdout.write(report);
if (values.save) {
  const folder = new URL('./results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const where = `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model}, ${availableParallelism()} cores`;
  await writeFile(
    new URL('faults.md', folder),
    `# Faults\n\n\`npm run -s test:faults -- --save\`, ${where}\n\n${report}`,
  );
}
process.exit(failed > 0 ? 1 : 0);
