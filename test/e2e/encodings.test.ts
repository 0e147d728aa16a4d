import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { startNats } from '../support/nats-server.ts';
import { randomNumbers, writePredictions } from '../support/predictions.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, type TinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';

const COUNT = 200;
const [RED, GREY] = [0, 3];
let bundle: TinyBundle;
let data: string;

/** Eight rows one level redder or less red, which a coarse encoding does not keep; green and blue are noise. */
beforeEach(async () => {
  const exact = {
    rows: [
      [20, 0, 0, -20 * 120],
      [0, 0, 0, -99],
      [0, 0, 0, -99],
      [-20, 0, 0, 20 * 120],
    ],
  } as const;
  const random = randomNumbers(5);
  const records: Buffer[] = [];
  const pictures = Array.from({ length: COUNT }, (_, i) => {
    const label = i % 2 === 0 ? RED : GREY;
    const top = 4 * Math.floor(7 * random());
    const rows = (at: number) => (at >= 32 * top && at < 32 * (top + 8) ? 1 : 0);
    const plane = (value: (at: number) => number) => Array.from({ length: 1024 }, (_, at) => value(at));
    const noise = () => plane(() => 60 + Math.floor(120 * random()));
    const planes = [plane((at) => (label === RED ? 120 + rows(at) : 120 - rows(at))), noise(), noise()];
    records.push(Buffer.from([0, label, ...planes.flat()]));
    const unsure = [1, 0.9, 0, 0.9];
    const expert = [0, 1, 2, 3].map((at) => (at === label ? 9 : 0));
    return { label, held: i % 2 === 1, row: i, logits: { generalist: unsure, warm: expert, cold: expert } };
  });
  const content = Buffer.concat(records);
  const dataSha256 = createHash('sha256').update(content).digest('hex');
  bundle = await makeTinyBundle({
    models: { warm: { rows: exact.rows.map((row) => [...row]) as [number, number, number, number][] } },
    change: (manifest) => {
      manifest.provenance.dataSha256 = dataSha256;
    },
  });
  await writePredictions(bundle.directory, pictures);
  data = join(bundle.directory, 'train.bin');
  await writeFile(data, content);
});
afterEach(() => bundle.remove());

async function encodings(...args: string[]) {
  await using service = spawnService('cli', { ASK_MODELS_DIR: bundle.directory }, ['encodings', ...args]);
  return { status: await service.exited, output: service.output(), errors: service.log() };
}

test('encodings: the cheapest within the loss is chosen, written with its table, and used for escalations', async () => {
  const { status, output, errors } = await encodings('--data', data, '--max-loss', '0', '--json');
  expect(status, errors).toBe(0);
  const found = JSON.parse(output);
  const written = viewCascade((await loadBundle(bundle.directory)).manifest);
  expect(written.encodings).toMatchObject({ pictures: COUNT, escalated: COUNT, maxLoss: 0, table: found.table });
  expect(written.routing.encoding).toEqual(found.encoding);
  const row = found.table.find(
    ({ encoding }: { encoding: object }) => JSON.stringify(encoding) === JSON.stringify(found.encoding),
  );
  expect(row.loss).toBeLessThanOrEqual(0);
  const cheaper = found.table.filter(({ bytes }: { bytes: number }) => bytes < row.bytes);
  expect(cheaper.length).toBeGreaterThan(0); // or this test would not have told good from bad
  for (const { loss } of cheaper) expect(loss).toBeGreaterThan(0);

  const generous = JSON.parse((await encodings('--data', data, '--max-loss', '1', '--json')).output);
  const least = Math.min(...generous.table.map(({ bytes }: { bytes: number }) => bytes));
  const lossless = generous.table.filter(({ encoding }: { encoding: object }) => !('quality' in encoding));
  for (const { bytes } of lossless) expect(least).toBeLessThan(0.75 * bytes);
  expect(generous.table.find(({ bytes }: { bytes: number }) => bytes === least).encoding).toEqual(generous.encoding);

  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', NATS_URL: nats.url };
  await using experts = spawnService('expert', env);
  await using service = await spawnHttp('edge', env);
  await waitForLog(experts, 'experts are ready');
  await waitForLog(experts, 'connected to NATS');
  await waitForLog(service, 'connected to NATS');
  const [r, g, b] = UNSURE_WARM;
  const large = await sharp({ create: { width: 300, height: 300, channels: 3, background: { r, g, b } } })
    .jpeg()
    .toBuffer();
  const { body } = await postImage(service.url, large, '', 'image/jpeg');
  const { format, quality } = generous.encoding;
  expect(body).toMatchObject({ route: 'expert', encoding: `${format}-${quality}` });
  expect(body.timings.encodeMs).toBeGreaterThan(0);
});

test('encodings: within one process pictures go to experts as pixels', async () => {
  await using service = await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });
  await waitForLog(service, 'experts are ready');
  const { body } = await postImage(service.url, await flatPng(UNSURE_WARM));
  expect(body).toMatchObject({ route: 'expert', encoding: 'rgb8' });
});

test('encodings: a dry run on part of the pictures writes nothing', async () => {
  const before = await readFile(join(bundle.directory, 'manifest.json'), 'utf8');
  const { status, output } = await encodings('--data', data, '--limit', '20', '--dry-run');
  expect(status).toBe(0);
  expect(output).toMatch(/^encoding +bytes[\s\S]*\nrgb8 +192 [\s\S]*\nchosen: /);
  expect(await readFile(join(bundle.directory, 'manifest.json'), 'utf8')).toBe(before);
});

describe('encodings: mistakes are refused', () => {
  test.each([
    [[], "required option '--data <path>' not specified"],
    [['--data', 'package.json'], 'the bundle was trained on'],
    [['--data', 'nowhere.bin'], 'nowhere.bin'],
    [['--data', 'package.json', '--max-loss', '2'], '--max-loss 2 is not between 0 and 1'],
    [['--data', 'package.json', '--limit', '0'], '--limit 0 is not a positive number'],
  ])('%j', async (args, message) => {
    const { status, errors } = await encodings(...args);
    expect([status === 0, errors]).toEqual([false, expect.stringContaining(message)]);
  });
});
