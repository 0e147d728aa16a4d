import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { readArguments, refuse } from '../../shared/service/arguments.ts';
import setup from '../support/global-setup.ts';
import { exitOnSignals } from '../support/kill-at-exit.ts';
import { measureAbsence } from './absent.ts';
import { rollOut } from './rolling.ts';
import { type Row, runFault } from './run.ts';
import { faults } from './table.ts';
import { toTable } from './table-print.ts';

const help = `npm run -s test:faults -- [PART OF A NAME] [--requests 10000] [--save]
The table of faults, and every service restarted in turn under load; --save keeps them in test/faults/results/.`;

// What knowing that nobody is there may cost at p99: under a fault, where few requests are compared, and at rest.
const EXTRA_MS = 5;
const EXTRA_AT_REST_MS = 1;

const { values, positionals } = readArguments({
  name: 'test:faults',
  help: () => help,
  allowPositionals: true,
  options: { requests: { type: 'string', default: '10000' }, save: { type: 'boolean', default: false } },
});
if (!(Number(values.requests) > 0)) refuse('test:faults', '--requests must be above 0');
exitOnSignals();
await setup();
const wanted = positionals[0] ?? '';
const rows: Row[] = [];
for (const fault of faults.filter(({ name }) => name.includes(wanted))) {
  const row = await runFault(fault);
  if (row.extraP99Ms !== null && !(row.extraP99Ms <= EXTRA_MS))
    row.violations.push(`${row.extraP99Ms} ms more at p99 while nobody was there`);
  rows.push(row);
  process.stderr.write(`${row.violations.length === 0 ? 'holds' : 'FAILS'}: ${fault.name}\n`);
}
let report = toTable(rows);
let failed = rows.filter(({ violations }) => violations.length > 0).length;
if (wanted === '') {
  const { own, absent, extraP99Ms } = await measureAbsence();
  if (!(extraP99Ms <= EXTRA_AT_REST_MS)) failed += 1;
  report += `\nAn expert known to be absent: p99 ${absent.p99} ms of ${absent.n} answers that should have been its own, `;
  report += `${own.p99} ms of ${own.n} others: ${extraP99Ms} ms extra (p50 ${absent.p50} and ${own.p50} ms).\n`;
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
