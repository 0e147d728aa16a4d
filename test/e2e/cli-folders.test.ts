import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';
import { spawnService, withoutProgress } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED, type TinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';

let bundle: TinyBundle;
let data: string;
beforeEach(async () => {
  bundle = await makeTinyBundle({
    change: (manifest) => {
      manifest.labels[1] = 'pale_green';
    },
  });
  data = await mkdtemp(join(tmpdir(), 'ask-data-'));
  // Sure and right; unsure, wrong, and put right by the expert `cold`; unsure, right, and led astray by `warm`.
  await put('red/a.png', await flatPng(SURE_RED, 300, 200));
  await put('train/Blue/day 1/b.png', await flatPng([118, 127, 120], 40, 50));
  await put('red/c.png', await flatPng(UNSURE_WARM));
  await put('red/notes.txt', Buffer.from('no picture'));
  await put('train/README.md', Buffer.from('no picture'));
});
afterEach(() => Promise.all([bundle.remove(), rm(data, { recursive: true })]));

async function put(path: string, content: Uint8Array) {
  await mkdir(dirname(join(data, path)), { recursive: true });
  await writeFile(join(data, path), content);
}

async function run(...args: string[]) {
  await using service = spawnService('cli', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' }, args);
  return {
    status: await service.exited,
    output: service.output(),
    errors: withoutProgress(service.log()).replaceAll(data, 'DATA'),
  };
}

describe('eval: a folder of pictures for each class', () => {
  test('gives the figures that records give', async () => {
    const { status, output, errors } = await run('eval', '--data', data, '--json');
    expect([status, errors]).toEqual([0, '']);
    expect(JSON.parse(output)).toEqual({
      n: 3,
      strategy: 'ask',
      accuracy: 0.6667,
      escalated: 0.6667,
      edgeAccuracy: 0.6667,
      escalatedEdgeAccuracy: 0.5,
      escalatedAccuracy: 0.5,
      bytesPerEscalation: expect.any(Number),
      threshold: 0.9,
    });
  });

  test('a part of all takes from every class in turn', async () => {
    const { output } = await run('eval', '--data', data, '--limit', '2', '--strategy', 'expert', '--json');
    expect(JSON.parse(output)).toMatchObject({ n: 2, edgeAccuracy: 0.5 });
  });

  test('folders that are no class are named, with the classes they may mean, and nothing is started', async () => {
    await put('train/pale-grean/x.png', await flatPng(SURE_RED));
    await put('zebra/x.png', await flatPng(SURE_RED));
    await put('x.png', await flatPng(SURE_RED));
    expect(await run('eval', '--data', data)).toEqual({
      status: 1,
      output: '',
      errors: [
        'ask: DATA: ',
        "  no class is named 'pale-grean' (did you mean pale_green?)",
        '  pictures lie beside the folders of the classes, in none of them',
        "  no class is named 'zebra'\n",
      ].join('\n'),
    });
  });

  test('a picture that cannot be decoded ends it, by its name', async () => {
    await put('red/broken.png', Buffer.from('hello'));
    const { status, output, errors } = await run('eval', '--data', data, '--json');
    expect([status, output]).toEqual([1, '']);
    expect(errors).toMatch(/^ask: DATA\/red\/broken\.png: not-an-image: .*\n$/);
  });

  test('a folder without pictures is refused', async () => {
    await rm(join(data, 'red'), { recursive: true });
    await rm(join(data, 'train'), { recursive: true });
    const { status, errors } = await run('eval', '--data', data);
    expect([status, errors]).toEqual([1, expect.stringContaining('ask: DATA holds no picture')]);
  });
});

describe('encodings: a folder of pictures for each class', () => {
  test('runs the generalist on them, and says whose pictures the table is of', async () => {
    const before = await readFile(join(bundle.directory, 'manifest.json'), 'utf8');
    const { status, output, errors } = await run('encodings', '--data', data, '--dry-run');
    expect([status, errors]).toEqual([0, expect.stringContaining('nothing was written')]);
    expect(output).toMatch(/^encoding +bytes[\s\S]*\nrgb8 +192 [\s\S]*\nchosen: /);
    expect(output.replaceAll(data, 'DATA')).toContain(
      '\n3 pictures of DATA, on which the generalist was run, of which 2 would be escalated\n',
    );
    expect(await readFile(join(bundle.directory, 'manifest.json'), 'utf8')).toBe(before);
  });

  test('writes into the manifest that they were given', async () => {
    const { status, output } = await run('encodings', '--data', data, '--json');
    expect(status).toBe(0);
    const { encodings, routing } = viewCascade((await loadBundle(bundle.directory)).manifest);
    expect(encodings).toMatchObject({ given: true, pictures: 3, escalated: 2 });
    expect(JSON.parse(output)).toEqual({ encoding: routing.encoding, ...encodings });
  });

  test('a folder that is not there is told before anything is started', async () => {
    expect(await run('encodings', '--data', join(data, 'none'))).toEqual({
      status: 1,
      output: '',
      errors: 'ask: --data DATA/none cannot be read: there is no such file\n',
    });
  });
});
