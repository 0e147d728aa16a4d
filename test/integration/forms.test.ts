import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRawConnection } from '../support/raw-connection.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
let picture: Buffer;
let unsure: Buffer;
beforeAll(async () => {
  system = await startTinySystem({ env: { ASK_MAX_BODY_BYTES: '500000' } });
  picture = await flatPng(SURE_RED);
  unsure = await flatPng(UNSURE_WARM);
});
afterAll(() => system[Symbol.asyncDispose]());

/** A part: its headers after `content-disposition: form-data; `, and what is in it. */
type Part = [headers: string, body: Buffer | string];

function toForm(parts: Part[]): Buffer {
  const pieces = parts.flatMap(([headers, body]) => [
    Buffer.from(`--x\r\ncontent-disposition: form-data; ${headers}\r\n\r\n`),
    Buffer.from(body as string),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces, Buffer.from('--x--\r\n')]);
}

async function post(parts: Part[], query = '', headers: Record<string, string> = {}) {
  const response = await fetch(`${system.url}/classify${query}`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=x', ...headers },
    body: new Uint8Array(toForm(parts)),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers and problems alike
  return { status: response.status, body: (await response.json()) as any };
}

const field = (name: string, value: string): Part => [`name="${name}"`, value];
const image = (): Part => ['name="image"; filename="x.png"\r\ncontent-type: image/png', picture];

describe('forms: one with one picture is taken', () => {
  test.each<[string, () => Part[]]>([
    ['as a browser sends it', () => [image()]],
    ['by the name file', () => [['name="file"; filename="x.png"', picture]]],
    ['without a name of a file', () => [['name="image"', picture]]],
    ['without quotes', () => [['name=image; filename=x', picture]]],
    ['with an empty name of a file', () => [['name="image"; filename=""', picture]]],
    ['as text', () => [['name="image"\r\ncontent-type: text/plain; charset=utf-8', picture]]],
    ['as JSON', () => [['name="image"\r\ncontent-type: application/json', picture]]],
    ['with a wrong type', () => [['name="image"; filename="x.heic"\r\ncontent-type: image/heic', picture]]],
    ['as binary', () => [['name="image"\r\ncontent-transfer-encoding: binary', picture]]],
    ['as base64, and says so', () => [['name="image"; filename="x"\r\ncontent-transfer-encoding: base64', lines()]]],
    ['as base64, and does not say so', () => [['name="image"', picture.toString('base64')]]],
    ['as a data: URL', () => [['name="image"', `data:image/png;base64,${picture.toString('base64')}`]]],
    ['with a file that was not chosen', () => [['name="file"; filename=""', ''], image()]],
    ['before and after other parts', () => [field('comment', 'a'), image(), ['name="thumb"; filename="t"', 'b']]],
    ["with names that are the language's own", () => [field('__proto__', '{}'), image(), field('constructor', 'x')]],
  ])('%s', async (_, parts) => {
    const { status, body } = await post(parts());
    expect([status, body.label], body.detail).toEqual([200, 'red']);
  });

  const lines = () => picture.toString('base64').replace(/.{76}/g, '$&\r\n');
});

describe('forms: fields', () => {
  test('count as the query, before or after the picture', async () => {
    const fields = [
      field('topK', '2'),
      field('strategy', 'expert'),
      field('deadlineMs', '60000'),
      field('threshold', '0.5'),
    ];
    for (const parts of [
      [...fields, image()],
      [image(), ...fields],
    ]) {
      const { body } = await post(parts);
      expect([body.topK.length, body.decision.strategy, body.decision.threshold]).toEqual([2, 'expert', 0.5]);
    }
  });

  test('give way to the query', async () => {
    const { body } = await post([field('topK', '2'), field('strategy', 'edge'), image()], '?topK=3');
    expect([body.topK.length, body.decision.strategy]).toEqual([3, 'edge']);
  });

  test.each<[string, Part[], string]>([
    ['too small', [field('topK', '0')], 'topK'],
    ['no number', [field('threshold', 'half')], 'threshold'],
    ['blank', [field('deadlineMs', ' ')], 'deadlineMs'],
    ['unknown', [field('strategy', 'guess')], 'strategy'],
    ['twice', [field('topK', '1'), field('topK', '2')], 'topK'],
    ['too long', [field('topK', '1'.repeat(5000))], 'topK'],
  ])('%s: refused as in the query, also where the query says it right', async (_, fields, name) => {
    for (const query of ['', '?topK=1&threshold=0.5&deadlineMs=9999&strategy=edge']) {
      const { status, body } = await post([image(), ...fields], query);
      expect([status, body.code, body.detail]).toEqual([422, 'invalid-parameter', expect.stringContaining(name)]);
    }
  });

  test('left empty, as browsers send them, count as absent', async () => {
    const names = ['topK', 'threshold', 'deadlineMs', 'strategy', 'explain', 'damaged'];
    const { status, body } = await post([...names.map((name) => field(name, '')), image()], '?topK=3');
    expect([status, body.topK?.length, body.decision?.strategy]).toEqual([200, 3, 'ask']);
  });

  test('a deadline counts from the headers on, although it comes last', async () => {
    const slow = { rows: [1, 2, 3, 4].map((bias): [number, number, number, number] => [0, 0, 0, bias]), work: 50 };
    await using busy = await startTinySystem({ experts: null, models: { generalist: { ...slow, attention: true } } });
    const { socket, received } = openRawConnection(busy.url);
    const form = toForm([image(), field('deadlineMs', '300')]);
    const head = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=x';
    socket.write(`${head}\r\ncontent-length: ${form.length}\r\n\r\n`);
    socket.write(form.subarray(0, 100));
    await once(socket, 'connect');
    await sleep(600);
    socket.write(form.subarray(100));
    await waitFor(() => received().includes('deadline-exceeded'), 'the refusal');
    socket.destroy();
  });
});

describe('forms: one is refused', () => {
  const encode = (text: string) => Buffer.from(text).toString('base64');

  test.each<[string, () => Part[], number, string, string]>([
    ['with two pictures', () => [image(), image()], 400, 'too-many-pictures', 'one picture'],
    ['with image and file', () => [image(), ['name="file"', unsure]], 400, 'too-many-pictures', 'one picture'],
    ['without a picture', () => [field('photo', 'x'), field('topK', '1')], 400, 'empty-body', 'it has photo'],
    ['with an empty picture', () => [['name="image"; filename=""', '']], 400, 'empty-body', 'no picture'],
    ['with text', () => [field('image', 'hello')], 400, 'not-an-image', 'this is text'],
    ['with text that could be base64', () => [field('image', 'base')], 400, 'not-an-image', 'this is text'],
    ['with a word and its padding', () => [field('image', 'photo+==')], 400, 'not-an-image', 'this is text'],
    ['with base64 of something else', () => [field('image', encode('x'.repeat(99)))], 400, 'not-an-image', 'base64'],
    ['with a GIF in base64', () => [field('image', encode('GIF89a'))], 415, 'unsupported-media-type', 'GIF'],
    [
      'with base64 that is broken',
      () => [field('image', `${picture.toString('base64').slice(0, 40)}!`)],
      400,
      'not-an-image',
      'character 41 of it is "!"',
    ],
    ['with the address of one', () => [field('image', 'https://example.org/x.jpg')], 400, 'not-an-image', 'address'],
    ['with a web page', () => [field('image', '<html><body>')], 400, 'not-an-image', 'web page'],
    [
      'with too many parts',
      () => [...Array(200).fill(field('a', 'b')), image()],
      400,
      'invalid-body',
      'more than 100 parts',
    ],
    [
      'with too large a picture',
      () => [['name="image"', Buffer.alloc(500_001, 255)]],
      413,
      'payload-too-large',
      '500000',
    ],
    ['with too much else', () => [['name="a"', Buffer.alloc(570_000)], image()], 413, 'payload-too-large', 'bytes'],
  ])('%s', async (_, parts, status, code, reason) => {
    const answer = await post(parts());
    expect([answer.status, answer.body.code, answer.body.detail]).toEqual([
      status,
      code,
      expect.stringContaining(reason),
    ]);
  });

  test.each(['multipart/mixed; boundary=x', 'multipart/related; boundary=x'])('as %s, by name', async (type) => {
    const { status, body } = await post([image()], '', { 'content-type': type });
    expect([status, body.code, body.detail]).toEqual([
      415,
      'unsupported-media-type',
      expect.stringContaining('form-data'),
    ]);
  });

  test('a picture of the largest size is not: what is around it does not count', async () => {
    const jpeg = await sharp(picture).jpeg().toBuffer();
    const largest = Buffer.concat([jpeg, Buffer.alloc(500_000 - jpeg.length)]);
    expect((await post([['name="image"', largest]])).status).toBe(200);
  });
});
