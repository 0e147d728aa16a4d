import { describe, expect, test } from 'vitest';
import { buses } from '../support/buses.ts';
import { enlargeWarm, LARGE } from '../support/own-eyes.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';

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
    const side = hop.to === 'warm' ? LARGE : 8;
    expect([hop.encoding, hop.bytes > side * side * 3, hop.bytes < side * side * 3 + 600]).toEqual([
      'rgb8',
      true,
      true,
    ]);
    expect(body.degraded).toBeNull();
  });
});
