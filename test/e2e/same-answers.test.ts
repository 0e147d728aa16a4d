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

test('eval on records and PNG files posted to /classify are the same system', async () => {
  await using system = await spawnHttp('local', {});
  await waitForLog(system, 'experts are ready');
  const records: Buffer[] = [];
  let escalated = 0;
  for (let i = 0; i < COUNT; i++) {
    const pixels = picture(i);
    const png = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png()
      .toBuffer();
    const { status, body } = await postImage(system.url, png);
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
