import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { spawnHttp } from '../support/service.ts';
import { writeSizedBundle } from '../support/sized-bundle.ts';
import { load } from './child.ts';
import { PICTURES } from './pictures.ts';
import { median, round } from './statistics.ts';

const EXPERTS = [5, 10, 20, 50, 100];
const CLASSES = [10, 50, 100, 300, 1000];

export interface ScalingRow {
  classes: number;
  experts: number;
  /** Milliseconds of an answer for one client, with models that cost next to nothing. */
  p50: number;
}

/**
 * Time of an answer that is routed, over the number of experts (100 classes) and of classes (10 experts or as many).
 */
export async function scaling(rounds: number, seconds: number): Promise<ScalingRow[]> {
  const shapes = [
    ...EXPERTS.map((experts) => ({ classes: 100, experts })),
    ...CLASSES.map((classes) => ({ classes, experts: Math.min(10, classes) })),
  ];
  const folder = await mkdtemp(join(tmpdir(), 'ask-scaling-'));
  await using running = new AsyncDisposableStack();
  running.defer(() => rm(folder, { recursive: true, force: true }));
  const services = [];
  for (const [i, { classes, experts }] of shapes.entries()) {
    const bundle = join(folder, String(i));
    await mkdir(bundle);
    await writeSizedBundle(bundle, classes, experts);
    const env = { ASK_MODELS_DIR: bundle, ASK_WORKERS: '1', ASK_CACHE_BYTES: '0', LOG_LEVEL: 'info' };
    services.push(running.use(await spawnHttp('edge', { ...env, NATS_URL: 'nats://127.0.0.1:9' })));
  }
  const spec = { clients: 1, picture: PICTURES['png-32'], repeat: 0, path: '/classify?threshold=0' };
  // Until V8 has compiled what answers, that is what is measured.
  for (const { url } of services) await load({ ...spec, url, clients: 8, seconds: 2 * seconds, warmUpSeconds: 0 });
  const times = shapes.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { url }] of services.entries()) {
      times[i]?.push((await load({ ...spec, url, seconds, warmUpSeconds: 0.5 })).latency.p50);
    }
  }
  return shapes.map((shape, i) => ({ ...shape, p50: round(median(times[i] as number[])) }));
}

/** The rows as a chart, SVG. */
export async function drawScaling(rows: ScalingRow[], path: string): Promise<void> {
  const [width, height, left, top] = [760, 300, 60, 40];
  const highest = Math.ceil(1.25 * Math.max(...rows.map(({ p50 }) => p50)));
  const panels = [
    { title: 'experts (100 classes)', of: (row: ScalingRow) => row.experts, rows: rows.slice(0, EXPERTS.length) },
    { title: 'classes (10 experts)', of: (row: ScalingRow) => row.classes, rows: rows.slice(EXPERTS.length) },
  ];
  const panel = ({ title, of, rows: points }: (typeof panels)[number], i: number) => {
    const [x0, w, h] = [left + i * 360, 290, 200];
    const log = (value: number) => Math.log(value / of(points[0] as ScalingRow));
    const x = (row: ScalingRow) => x0 + (w * log(of(row))) / log(of(points.at(-1) as ScalingRow));
    const y = (milliseconds: number) => top + h * (1 - milliseconds / highest);
    const marks = points.map(
      (row) =>
        `<circle cx="${x(row)}" cy="${y(row.p50)}" r="4"/><text x="${x(row)}" y="${y(row.p50) - 10}">${row.p50.toFixed(2)}</text><text x="${x(row)}" y="${top + h + 18}">${of(row)}</text>`,
    );
    const line = points.map((row) => `${x(row)},${y(row.p50)}`).join(' ');
    return `<g><path d="M${x0 - 14} ${top}V${top + h}H${x0 + w + 14}" fill="none" stroke="#888"/>
<polyline points="${line}" fill="none" stroke="#2563eb" stroke-width="2"/>${marks.join('\n')}
<text x="${x0 + w / 2}" y="${top + h + 40}">${title}</text></g>`;
  };
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" text-anchor="middle" fill="#2563eb">
<rect width="${width}" height="${height}" fill="white"/>
<text x="${width / 2}" y="20" font-size="14">milliseconds of an answer, one client, models that cost next to nothing</text>
${panels.map(panel).join('\n')}
</svg>
`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, svg);
}
