import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../shared/bundle/manifest.ts';
import { buses } from '../support/buses.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, UNSURE_COLD, UNSURE_WARM, type WriteFile } from '../support/tiny-bundle.ts';
import { buildTinyOnnx } from '../support/tiny-onnx.ts';

const SIDE = 16;

/** The expert `warm` takes pictures of twice the generalist's side; `cold` stays as it is. */
async function enlargeWarm({ models }: Manifest, write: WriteFile): Promise<void> {
  const rows = [0, 0, 0, 9].map((bias): [number, number, number, number] => [0, 0, 0, bias]);
  const { warm } = models;
  if (warm === undefined) throw new Error('no model warm');
  Object.assign(warm, await write('warm.onnx', buildTinyOnnx(SIDE, { rows })));
  Object.assign(warm.inputs.pixels as object, { shape: ['batch', SIDE, SIDE, 3] });
  Object.assign(warm.inputs.pixels?.picture as object, { side: SIDE, fit: 'contain' });
}

describe('models: each makes its own input of a picture', () => {
  test.each(buses)('over %s', async (_, open) => {
    await using system = await startTinySystem({ extend: enlargeWarm, open });
    const ask = async (colour: [number, number, number]) => {
      const { status, body } = await postImage(system.url, await flatPng(colour, 64, 40));
      return [status, body.expert, body.degraded, body.label];
    };
    expect(await ask(UNSURE_WARM)).toEqual([200, 'warm', null, 'grey']);
    expect(await ask(UNSURE_COLD)).toEqual([200, 'cold', null, 'blue']);
  });

  test('what travels has the size that the expert wants', async () => {
    await using system = await startTinySystem({ extend: enlargeWarm });
    const noisy = Buffer.from(
      Array.from({ length: 64 * 40 * 3 }, (_, i) => 120 + (i % 3 === 0 ? 6 : 0) + ((i * 7) % 3)),
    );
    const { body } = await postImage(system.url, noisy, '?strategy=expert', 'image/x-rgb8; width=64; height=40');
    const [hop] = body.hops;
    const side = hop.to === 'warm' ? SIDE : 8;
    expect([hop.encoding, hop.bytes > side * side * 3, hop.bytes < side * side * 3 + 600]).toEqual([
      'rgb8',
      true,
      true,
    ]);
    expect(body.degraded).toBeNull();
  });
});
