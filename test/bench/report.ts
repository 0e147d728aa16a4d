import { explanations, goals, meets } from './goals.ts';
import type { Row } from './grid.ts';
import type { PeerRow } from './peers.ts';
import type { ProfileRow } from './profile.ts';
import type { ScalingRow } from './scaling.ts';

const PARTS = ['peers', 'workloads', 'scaling', 'profile'] as const;

/** Where and how a run was made. */
interface Machine {
  date: string;
  cpu: string;
  cores: number;
  node: string;
  commit: string;
  /** One-minute load average at the start. */
  load: number;
  seconds: number;
  rounds: number;
  command: string;
}

/** Everything one run of the bench found; parts that were not asked for are missing, or those of an earlier run. */
export interface Results {
  figures: Record<string, number>;
  machine: Machine;
  peers?: { rows: PeerRow[]; absent: Record<string, string> };
  workloads?: Row[];
  scaling?: ScalingRow[];
  profile?: ProfileRow[];
  /** The earlier run that a part is of. */
  earlier?: { [part in (typeof PARTS)[number]]?: Machine };
}

/** The results with the parts that this run left out as an earlier one found them. */
export function withEarlier(results: Results, former: Results): Results {
  const kept = PARTS.filter((part) => results[part] === undefined && former[part] !== undefined);
  const parts = Object.fromEntries(kept.map((part) => [part, former[part]]));
  const earlier = Object.fromEntries(kept.map((part) => [part, former.earlier?.[part] ?? former.machine]));
  return { ...results, ...parts, earlier };
}

const PEER_GOAL = { throughputRatio: 1.5, p99Ratio: 0.6 };

/** The least favourable workload of each peer, as ours over theirs. */
export function worstByPeer(rows: PeerRow[]): Record<string, { throughputRatio: number; p99Ratio: number }> {
  const worst: Record<string, { throughputRatio: number; p99Ratio: number }> = {};
  for (const { peer, throughputRatio, p99Ratio } of rows) {
    const known = worst[peer] ?? { throughputRatio, p99Ratio };
    worst[peer] = {
      throughputRatio: Math.min(known.throughputRatio, throughputRatio),
      p99Ratio: Math.max(known.p99Ratio, p99Ratio),
    };
  }
  return worst;
}

/** The results as Markdown: each figure with its goal, then the tables of the parts. */
export function markdown(results: Results): string {
  const { figures, machine, peers, workloads, scaling, profile, earlier } = results;
  const of = (part: (typeof PARTS)[number]) =>
    earlier?.[part] ? `Of an earlier run: ${describe(earlier[part])}\n` : '';
  const found = goals.filter(({ figure }) => figures[figure] !== undefined);
  const rows = found.map((goal) => {
    const value = figures[goal.figure] as number;
    const sign = goal.better === 'lower' ? 'at most' : 'at least';
    return [goal.meaning, value, `${sign} ${goal.goal}`, meets(goal, value) ? 'met' : 'not met'];
  });
  for (const [figure, meaning] of Object.entries(explanations)) {
    if (figures[figure] !== undefined) rows.push([meaning, figures[figure], '', '']);
  }
  const named = new Set([...goals.map(({ figure }) => figure), ...Object.keys(explanations)]);
  const others = Object.entries(figures).filter(([name]) => !named.has(name));
  const sections = [
    '# What the service costs on top of the models\n',
    `${describe(machine)} Raw and service in turns, load from another process on the same cores.\n`,
    table(['figure', 'found', 'goal', ''], rows),
    others.length > 0 ? `Also: ${others.map(([name, value]) => `${name} ${value}`).join(', ')}.\n` : '',
  ];
  if (peers) {
    sections.push(
      '## Beside other servers\n',
      of('peers'),
      'Same cascade, same ONNX files, same cores; a model process per core each; each with the threshold that escalates this ' +
        'share as it decodes. Closed loop of 16 clients, and p99 of about a thousand answers (at most 30 s) of an open ' +
        `loop at 70 % of what saturates the peer. Goal: throughput at least ${PEER_GOAL.throughputRatio} of theirs, p99 at most ${PEER_GOAL.p99Ratio}.\n`,
      table(
        [
          'peer',
          'picture',
          'escalated',
          'ours/s',
          'theirs/s',
          'ratio',
          'our p99 ms',
          'their p99 ms',
          'ratio',
          'by an expert: ours, theirs',
          'failed: ours, theirs',
          'goal',
        ],
        peers.rows.map((row) => [
          row.peer,
          row.picture,
          `${100 * row.escalated} %`,
          row.ours,
          row.theirs,
          row.throughputRatio,
          row.ourP99,
          row.theirP99,
          row.p99Ratio,
          row.byExpert.join(', '),
          row.failed.join(', '),
          row.throughputRatio >= PEER_GOAL.throughputRatio && row.p99Ratio <= PEER_GOAL.p99Ratio ? 'met' : 'not met',
        ]),
      ),
      ...Object.entries(peers.absent).map(([name, why]) => `${name} did not run: ${why.trim().split('\n').at(-1)}\n`),
    );
  }
  if (scaling) {
    sections.push(
      '## Cost over experts and classes\n',
      of('scaling'),
      '![Time of an answer over experts and classes](scaling.svg)\n',
      table(
        ['classes', 'experts', 'p50 ms'],
        scaling.map((row) => [row.classes, row.experts, row.p50]),
      ),
    );
  }
  if (profile) {
    sections.push(
      '## Where the main process spends its time\n',
      of('profile'),
      'Self time at saturation, by V8’s sampling profiler, starting included; decoding itself runs on threads beside it.\n',
      table(
        ['part', 'ms per answer', 'share'],
        profile.slice(0, 12).map((row) => [row.where, row.msPerAnswer, row.share]),
      ),
    );
  }
  if (workloads) {
    const columns = [
      'picture',
      'escalated',
      'repeat',
      'clients',
      'loop',
      'perSecond',
      'p50',
      'p95',
      'p99',
      'p999',
    ] as const;
    const more = ['mainCpuPer1000', 'busBytes', 'refused'] as const;
    const all = [...columns, ...more];
    sections.push(
      '## Workloads\n',
      of('workloads'),
      table(
        all,
        workloads.map((row) => all.map((column) => row[column])),
      ),
    );
  }
  return sections.filter((section) => section !== '').join('\n');
}

function describe({ command, date, cpu, cores, node, commit, rounds, seconds }: Machine): string {
  return (
    `\`${command}\`, ${date.slice(0, 10)}: ${cpu}, ${cores} cores, Node ${node}, commit ${commit}. ` +
    `Medians of ${rounds} rounds of ${seconds} s.`
  );
}

function table(head: readonly string[], rows: (string | number)[][]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('');
}
