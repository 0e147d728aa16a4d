import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRawConnection } from '../support/raw-connection.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
let pictures: Record<'jpeg' | 'png' | 'webp', Buffer>;
beforeAll(async () => {
  system = await startTinySystem({ experts: null, env: { ASK_MAX_BODY_BYTES: '2000000' } });
  const image = sharp(await flatPng(SURE_RED));
  pictures = {
    jpeg: await image.jpeg().toBuffer(),
    png: await image.png().toBuffer(),
    webp: await image.webp().toBuffer(),
  };
});
afterAll(() => system[Symbol.asyncDispose]());

async function post(body: string | Uint8Array, type?: string, query = '') {
  const response = await fetch(`${system.url}/classify${query}`, {
    method: 'POST',
    headers: type === undefined ? {} : { 'content-type': type },
    body: typeof body === 'string' ? Buffer.from(body) : new Uint8Array(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers and problems alike
  const answer = (await response.json()) as any;
  return { status: response.status, code: answer.code, detail: answer.detail as string, label: answer.label };
}

const gif = Buffer.from('GIF89a\x01\0\x01\0\0\0\0;', 'latin1');

describe('media types: the bytes say what a picture is', () => {
  test.each([
    ...[
      undefined,
      'image/jpeg',
      'image/jpg',
      'image/pjpeg',
      'image/x-png',
      'image/*',
      'IMAGE/JPEG',
      'image/heic',
      'image/svg+xml',
    ],
    ...[
      'image/jpeg; charset=utf-8',
      'image/png;name="x y.png"',
      'application/octet-stream',
      'binary/octet-stream',
      'application/binary',
    ],
    ...[
      'application/x-www-form-urlencoded',
      'text/plain',
      'text/plain;charset=UTF-8',
      'text/html',
      'application/pdf',
      '*/*',
    ],
    ...[
      'application/jsonx',
      'application/json, image/png',
      'image',
      'jpeg',
      'image/',
      '/',
      ';',
      'image/jpeg;;;',
      'image jpeg',
      '"image/jpeg"',
    ],
    ...['image/x-rgb8x', 'application/vnd.api', 'video/mp4', 'undefined', 'null'],
  ])('under the label %s', async (type) => {
    for (const picture of Object.values(pictures))
      expect(await post(picture, type)).toMatchObject({ status: 200, label: 'red' });
  });

  test('JSON and forms are what their label says: a picture under it is refused with that reason', async () => {
    for (const type of [
      'application/json',
      'Application/JSON; charset=utf-8',
      'text/json',
      'application/vnd.api+json',
    ]) {
      const { status, code, detail } = await post(pictures.jpeg, type);
      expect([status, code, detail]).toEqual([
        400,
        'invalid-body',
        expect.stringContaining('the body is image/jpeg, not'),
      ]);
    }
    const { status, code, detail } = await post(pictures.webp, 'multipart/form-data; boundary=x');
    expect([status, code, detail]).toEqual([400, 'invalid-body', expect.stringContaining('image/webp')]);
  });

  test('JSON under other names of JSON is JSON; under the label of a picture it is refused by name', async () => {
    const text = JSON.stringify({ image: pictures.png.toString('base64') });
    for (const type of ['text/json', 'application/vnd.api+json', ' application/json ;charset=utf-8'])
      expect(await post(text, type)).toMatchObject({ status: 200, label: 'red' });
    for (const type of ['image/jpeg', 'text/plain', undefined])
      expect(await post(text, type)).toMatchObject({
        status: 400,
        code: 'not-an-image',
        detail: expect.stringContaining('application/json'),
      });
  });

  test('an unsupported format is named under any label, in any kind of body; relabelling is not advised', async () => {
    const form = (bytes: Buffer) =>
      Buffer.concat([
        Buffer.from('--x\r\ncontent-disposition: form-data; name=image\r\n\r\n'),
        bytes,
        Buffer.from('\r\n--x--'),
      ]);
    const sent: [Buffer, string | undefined][] = [
      ...[
        'image/gif',
        'image/jpeg',
        'application/octet-stream',
        'application/json',
        'multipart/form-data; boundary=x',
        undefined,
      ].map((type): [Buffer, string | undefined] => [gif, type]),
      [Buffer.from(JSON.stringify({ image: gif.toString('base64') })), 'application/json'],
      [form(gif), 'multipart/form-data; boundary=x'],
      [form(Buffer.from(gif.toString('base64'))), 'multipart/form-data; boundary=x'],
    ];
    for (const [body, type] of sent) {
      const { status, code, detail } = await post(body, type);
      expect([type, status, code]).toEqual([type, 415, 'unsupported-media-type']);
      expect(detail).toMatch(/^GIF is not taken: convert it to PNG/);
      expect(detail).not.toContain('content-type');
    }
  });

  test('an unsupported format is refused before all of it has come, and the connection serves on', async () => {
    const { socket, received } = openRawConnection(system.url);
    const beginning = Buffer.concat([Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1'), Buffer.alloc(5000)]);
    socket.write(`POST /classify?deadlineMs=60000 HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n`);
    socket.write(beginning);
    await waitFor(() => received().includes('HEIC is not taken'), 'the refusal');
    socket.write(Buffer.alloc(1_000_000 - beginning.length));
    socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    await waitFor(() => received().includes('{"status":"alive"}'), 'the next answer');
    socket.destroy();
  });

  test.each<[string, string, string | undefined, string]>([
    ['base64', Buffer.alloc(99, 7).toString('base64'), 'image/jpeg', 'base64'],
    ['a data: URL', 'data:image/png;base64,iVBORw0KGgo=', 'text/plain', 'base64'],
    ['a web page', '<!doctype html><title>Log in</title>', 'image/jpeg', 'web page'],
    [
      'a form in the encoding of addresses',
      'image=iVBORw0KGgo',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
    ],
    [
      'a form without its label',
      '--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n\r\n--x--',
      undefined,
      'boundary',
    ],
    ['a name', '@photo.jpg', 'application/x-www-form-urlencoded', 'text'],
  ])('%s in place of a picture is refused by name', async (_, body, type, reason) => {
    expect(await post(body, type)).toMatchObject({
      status: 400,
      code: 'not-an-image',
      detail: expect.stringContaining(reason),
    });
  });
});

describe('JSON body', () => {
  const json = (value: unknown) => post(JSON.stringify(value), 'application/json');

  test('takes base64 as clients make it, and beside it what the query takes', async () => {
    const plain = pictures.jpeg.toString('base64');
    const lines = plain.replace(/.{76}/g, '$&\r\n');
    for (const image of [
      lines,
      `data:image/jpeg;name=x.jpg;base64,${plain}`,
      pictures.jpeg.toString('base64url'),
      `\n${plain}\n`,
    ])
      expect(await json({ image, comment: 'kitchen' })).toMatchObject({ status: 200, label: 'red' });
    expect(await json({ image: plain, threshold: 2 })).toMatchObject({ status: 422, code: 'invalid-parameter' });
    expect(await json({ image: plain, topK: '1' })).toMatchObject({ status: 200 });
  });

  test.each<[string, unknown, string]>([
    ['numbers', { image: [255, 216, 255] }, 'no text'],
    ['many numbers', { image: Array.from({ length: 2000 }, () => 255) }, 'list of numbers'],
    ['a list', ['AAAA'], 'the JSON must be {"image"'],
    ['text', 'AAAA', 'the JSON must be {"image"'],
    ['another name', { photo: 'AAAA', name: 'x' }, 'it has photo, name'],
    ['an address', { image: 'https://example.org/x.jpg' }, 'nothing is fetched'],
    ['bytes as Python prints them', { image: "b'iVBORw0KGgo='" }, 'not base64: character 2'],
    ['a data: URL without base64', { image: 'data:image/png,%89PNG' }, 'without base64'],
  ])('with %s is refused, saying what it should be', async (_, value, reason) => {
    expect(await json(value)).toMatchObject({
      status: 400,
      code: 'invalid-body',
      detail: expect.stringContaining(reason),
    });
  });
});
