import { expect, test } from 'vitest';
import { markdown, type Results, withEarlier, worstByPeer } from '../../bench/report.ts';

const machine: Results['machine'] = {
  date: '2026-11-24T00:00:00Z',
  cpu: 'a processor',
  cores: 2,
  node: 'v24',
  commit: 'abc',
  load: 0,
  seconds: 5,
  rounds: 5,
  command: 'npm run -s bench',
};
const row = {
  picture: 'png-32',
  escalated: 0,
  ours: 30,
  theirs: 10,
  ourP99: 1,
  theirP99: 2,
  byExpert: [0.4, 0.4] as [number, number],
  failed: [0, 0] as [number, number],
};

test('bench report: each figure with a goal is marked met or not met, the others are shown', () => {
  const figures = {
    edgeP50OverRawMs: 0.4,
    throughputOverRaw: 0.91,
    rssMb: 300,
    overloadAnswered: 77,
    bareP50OverRawMs: 0.3,
  };
  const text = markdown({ figures, machine });
  expect(text).toMatch(/\| 0\.4 \| at most 0\.5 \| met \|/);
  expect(text).toMatch(/\| 0\.91 \| at least 0\.92 \| not met \|/);
  expect(text).toMatch(/\| 300 \| at most 300 \| met \|/);
  expect(text).toMatch(/bare node:http server .* \| 0\.3 \| {2}\| {2}\|/);
  expect(text).toContain('Also: overloadAnswered 77.');
  expect(text).not.toContain('## ');
});

test('bench report: a peer is judged by its least favourable workload, and one that did not run is named', () => {
  const rows = [
    { ...row, peer: 'one', throughputRatio: 3, p99Ratio: 0.5 },
    { ...row, peer: 'one', throughputRatio: 1.2, p99Ratio: 0.4 },
    { ...row, peer: 'two', throughputRatio: 2, p99Ratio: 0.9 },
  ];
  expect(worstByPeer(rows)).toEqual({
    one: { throughputRatio: 1.2, p99Ratio: 0.5 },
    two: { throughputRatio: 2, p99Ratio: 0.9 },
  });
  const text = markdown({ figures: {}, machine, peers: { rows, absent: { three: 'did not start: no\nlibrary' } } });
  expect(text.match(/\| met \|/g)).toHaveLength(1);
  expect(text.match(/\| not met \|/g)).toHaveLength(2);
  expect(text).toContain('three did not run: library');
});

test('bench report: parts that a run leaves out keep the figures of the run that measured them last', () => {
  const scaling = [{ classes: 10, experts: 5, p50: 0.25 }];
  const first = { figures: { rssMb: 1 }, machine: { ...machine, commit: 'first' }, scaling, workloads: [] };
  const second = withEarlier(
    { figures: { rssMb: 2 }, machine: { ...machine, commit: 'second' }, workloads: [] },
    first,
  );
  const third = withEarlier({ figures: { rssMb: 3 }, machine: { ...machine, commit: 'third' } }, second);
  expect(third).toMatchObject({ figures: { rssMb: 3 }, scaling });
  expect(third.earlier?.scaling?.commit).toBe('first');
  expect(third.earlier?.workloads?.commit).toBe('second');
  expect(markdown(third)).toMatch(
    /commit third.*## Cost over.*earlier run: .*commit first.*## Workloads.*commit second/s,
  );
});
