import type { Row } from './run.ts';

/** The rows as a Markdown table. */
export function toTable(rows: Row[]): string {
  const head = [
    'fault',
    'requests',
    'lost',
    'twice',
    'late',
    'degraded, as they say',
    'recovered, ms',
    'p99 extra, ms',
    '',
  ];
  const lines = rows.map((row) => [
    row.fault,
    row.requests,
    row.lost,
    row.twice,
    row.late,
    Object.entries(row.degraded)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ') || '-',
    row.recoveryMs,
    row.extraP99Ms ?? '-',
    row.violations.length === 0 ? 'holds' : row.violations.join('; '),
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}
