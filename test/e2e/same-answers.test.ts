import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';

const SIDE = 32;
const COUNT = 60;

/** Smooth made-up pictures, some of which the committed generalist is sure of and some not. */
function picture(i: number): Uint8Array {
  return Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, at) => {
    const [pixel, channel] = [Math.floor(at / 3), at % 3];
    const [x, y] = [pixel % SIDE, Math.floor(pixel / SIDE)];
    return 128 + 110 * Math.sin((x * ((i % 7) - 3) + y * ((i % 5) - 2)) / 9 + channel * i);
  });
}

function record(label: number, pixels: Uint8Array): Buffer {
  const planes = [0, 1, 2].map((channel) => Buffer.from(pixels.filter((_, at) => at % 3 === channel)));
  return Buffer.concat([Buffer.from([0, label]), ...planes]);
}

async function png(i: number): Promise<Buffer> {
  return sharp(picture(i), { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
}

test('same answers: a picture gets the same one alone and in a batch', async () => {
  await using system = await spawnHttp('local', { ASK_WORKERS: '1', ASK_CACHE_BYTES: '0', ASK_BATCH_MAX: '4' });
  await waitForLog(system, 'experts are ready');
  const pictures = await Promise.all(Array.from({ length: 16 }, (_, i) => png(i)));
  const answer = async (image: Buffer) => (await postImage(system.url, image, '?deadlineMs=60000')).body;
  const alone = [];
  for (const image of pictures) alone.push(await answer(image));
  const crowded = await Promise.all(pictures.map(answer));
  expect(new Set(alone.map(({ route }) => route))).toEqual(new Set(['edge', 'expert']));
  for (const [i, { index, route, expert, confidence }] of alone.entries()) {
    expect(crowded[i]).toMatchObject({ index, route, expert, confidence: expect.closeTo(confidence, 4) });
  }
});

test('same answers: eval on records agrees with PNG files posted to /classify', { timeout: 60_000 }, async () => {
  await using system = await spawnHttp('local', {});
  await waitForLog(system, 'experts are ready');
  const records: Buffer[] = [];
  let escalated = 0;
  for (let i = 0; i < COUNT; i++) {
    const pixels = picture(i);
    const { status, body } = await postImage(system.url, await png(i));
    expect(status).toBe(200);
    if (body.route === 'expert') escalated += 1;
    // Every other record gets the posted answer as its label, the rest another one: eval must find exactly half right.
    records.push(record((body.index + (i % 2)) % 100, pixels));
  }
  const folder = await mkdtemp(join(tmpdir(), 'ask-same-'));
  try {
    await writeFile(join(folder, 'records.bin'), Buffer.concat(records));
    await using evaluation = spawnService('cli', {}, ['eval', '--data', join(folder, 'records.bin'), '--json']);
    expect(await evaluation.exited).toBe(0);
    const figures = JSON.parse(evaluation.output());
    expect([figures.n, figures.accuracy, figures.escalated]).toEqual([
      COUNT,
      0.5,
      Number((escalated / COUNT).toFixed(4)),
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
