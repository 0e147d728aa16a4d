import { beforeAll, expect, test } from 'vitest';
import { createParcel } from '../../../../services/edge/experts/parcel.ts';
import { choosePayload, choosePixels, type Payload } from '../../../../services/edge/experts/payload.ts';
import { decodePicture, type InputRule } from '../../../../shared/imaging/codec.ts';
import { Deadline } from '../../../../shared/request/deadline.ts';
import { AppError } from '../../../../shared/request/errors.ts';
import type { EncodedPicture, Pixels } from '../../../../shared/wire/picture.ts';
import { makePhoto } from '../../../support/photos.ts';
import { flatPng } from '../../../support/tiny-bundle.ts';

const SIDE = 32;
const RGB8 = SIDE * SIDE * 3;
const rule: InputRule = { side: SIDE, fit: 'cover', kernel: 'lanczos3', background: [255, 255, 255] };

let photo: Pixels;
let file: Buffer;
beforeAll(async () => {
  photo = await makePhoto(SIDE, SIDE);
  file = await flatPng([40, 90, 200], SIDE, SIDE);
});

const decode = ({ body }: Payload) => decodePicture((body as EncodedPicture).bytes, rule, 1e6);

test('payload: rgb8 sends the pixels as they are', async () => {
  const { body, encoding } = await choosePayload(photo, undefined, { format: 'rgb8' });
  expect(encoding).toBe('rgb8');
  expect(body).toBe(photo);
});

test.each([
  [{ format: 'png' }, 'png', 'image/png', true],
  [{ format: 'webp-lossless' }, 'webp-lossless', 'image/webp', true],
  [{ format: 'webp', quality: 80 }, 'webp-80', 'image/webp', false],
  [{ format: 'jpeg', quality: 90 }, 'jpeg-90', 'image/jpeg', false],
] as const)('payload: %o sends a file of that kind, of the same pixels if it loses none', async (asked, ...told) => {
  const [name, type, lossless] = told;
  const payload = await choosePayload(photo, undefined, asked);
  expect([payload.encoding, (payload.body as EncodedPicture).type]).toEqual([name, type]);
  const { pixels, width, height } = await decode(payload);
  expect([width, height]).toEqual([SIDE, SIDE]);
  expect(Buffer.compare(pixels, photo.pixels) === 0).toBe(lossless);
});

test("payload: the caller's file goes instead where it has fewer bytes, and only there", async () => {
  expect(file.length).toBeLessThan(RGB8);
  const original = { body: { bytes: file, type: 'image/png' }, encoding: 'original' };
  expect(await choosePayload(photo, file, { format: 'rgb8' })).toEqual(original);
  expect(await choosePayload(photo, file, { format: 'png' })).toEqual(original);
  const padded = (bytes: number) => Buffer.concat([file, Buffer.alloc(bytes - file.length)]);
  expect((await choosePayload(photo, padded(RGB8), { format: 'rgb8' })).encoding).toBe('rgb8');
  expect((await choosePayload(photo, padded(RGB8 - 1), { format: 'rgb8' })).encoding).toBe('original');
  const { body } = await choosePayload(photo, undefined, { format: 'png' });
  const made = (body as EncodedPicture).bytes.length;
  expect((await choosePayload(photo, padded(made), { format: 'png' })).encoding).toBe('png');
  expect((await choosePayload(photo, padded(made - 1), { format: 'png' })).encoding).toBe('original');
});

test('payload: what experts do not decode is not sent to them, however small', async () => {
  for (const bytes of [Buffer.from('GIF89a'), new Uint8Array()]) {
    expect((await choosePayload(photo, bytes, { format: 'rgb8' })).encoding).toBe('rgb8');
  }
});

test('payload: within a process pixels are passed on as they are', async () => {
  const { body, encoding } = await choosePixels(photo);
  expect([body === photo, encoding]).toEqual([true, 'rgb8']);
});

function request(milliseconds = 600_000) {
  const caller = new AbortController();
  const deadline = new Deadline(milliseconds, caller.signal);
  const context = { requestId: 'r', deadline, caller: caller.signal };
  return { caller, context, [Symbol.dispose]: () => deadline[Symbol.dispose]() };
}

test('parcel: packed when first opened, and once for all who ask', async () => {
  using asked = request();
  let packed = 0;
  const parcel = createParcel(() => {
    packed += 1;
    return choosePayload(photo, undefined, { format: 'png' });
  }, asked.context);
  expect([packed, parcel.encodeMs]).toEqual([0, 0]);
  const opened = [...(await Promise.all([parcel.open(), parcel.open()])), await parcel.open()];
  expect(opened.map((payload) => payload?.encoding)).toEqual(['png', 'png', 'png']);
  expect([new Set(opened).size, packed]).toEqual([1, 1]);
  expect(parcel.encodeMs).toBeGreaterThan(0);
});

test('parcel: a picture that cannot be encoded is null, not an error, and is not tried again', async () => {
  using asked = request();
  let tried = 0;
  const parcel = createParcel(async () => {
    tried += 1;
    return choosePayload({ ...photo, width: SIDE + 1 }, undefined, { format: 'png' });
  }, asked.context);
  expect([await parcel.open(), await parcel.open(), tried]).toEqual([null, null, 1]);
});

test('parcel: encoding that outlasts the deadline is null', async () => {
  using asked = request(5);
  const parcel = createParcel(() => new Promise<never>(() => {}), asked.context);
  expect(await parcel.open()).toBeNull();
});

test('parcel: a caller who goes ends it with his reason', async () => {
  using asked = request();
  const parcel = createParcel(() => new Promise<never>(() => {}), asked.context);
  const opened = parcel.open();
  const gone = new AppError('client-closed', 'gone');
  asked.caller.abort(gone);
  await expect(opened).rejects.toBe(gone);
  await expect(parcel.open()).rejects.toBe(gone);
});
