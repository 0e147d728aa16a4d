import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makePhoto, open } from '../support/photos.ts';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
let whole: Buffer;
let half: Buffer;
beforeAll(async () => {
  system = await startTinySystem();
  whole = await open(await makePhoto(160, 120))
    .jpeg()
    .toBuffer();
  half = whole.subarray(0, whole.length / 2);
});
afterAll(() => system[Symbol.asyncDispose]());

const post = (file: Buffer, query = '') => postImage(system.url, file, query, 'image/jpeg');
const counted = async () => {
  const text = await (await fetch(`${system.url}/metrics`)).text();
  return text.split('\n').filter((line) => /^ask_damaged_pictures_total\{.* [1-9]/.test(line));
};

describe('damaged pictures', () => {
  test('a whole picture is marked as such', async () => {
    expect((await post(whole)).body.picture).toEqual({ damaged: false });
    expect((await post(whole, '?damaged=refuse')).body.picture).toEqual({ damaged: false });
  });

  test('a damaged picture is answered with a mark, from the cache as well, and counted', async () => {
    for (const strategy of ['edge', 'expert']) {
      const fresh = (await post(half, `?strategy=${strategy}`)).body;
      const again = (await post(half, `?strategy=${strategy}`)).body;
      expect([fresh.decision.reason === 'cache-hit', again.decision.reason]).toEqual([false, 'cache-hit']);
      for (const { picture } of [fresh, again]) expect(picture).toEqual({ damaged: true, reason: 'cut-short' });
    }
    expect(await counted()).toEqual(['ask_damaged_pictures_total{reason="cut-short",outcome="answered"} 4']);
  });

  test('a caller who does not want that answer is refused, with and without one in the cache', async () => {
    const rest = Buffer.concat([half, Buffer.from([0xff, 0xd9])]);
    for (const file of [half, rest]) {
      const { status, body } = await post(file, '?damaged=refuse&strategy=edge');
      expect([status, body.code]).toEqual([400, 'damaged-image']);
      expect(body.detail).toBe('the picture is damaged (cut-short); send it anew, or accept it (damaged=accept)');
    }
    expect(await counted()).toContain('ask_damaged_pictures_total{reason="cut-short",outcome="refused"} 2');
  });

  test('any other wish than these two is refused', async () => {
    expect((await post(whole, '?damaged=maybe')).body.code).toBe('invalid-parameter');
  });
});

test('damaged pictures: one that takes too long to decode is refused at once, with the setting', async () => {
  const create = { width: 16_320, height: 12_240, channels: 3 as const, background: '#c86432' };
  const file = await sharp({ create, limitInputPixels: false }).jpeg({ quality: 60 }).toBuffer();
  const { status, body } = await post(file, '?deadlineMs=60');
  expect([status, body.code]).toEqual([413, 'too-slow-to-decode']);
  expect(body.detail).toContain('(deadlineMs, ASK_DEADLINE_MS)');
});
