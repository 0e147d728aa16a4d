import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
let url: string;
beforeAll(async () => {
  system = await startTinySystem({ env: { ASK_MAX_BODY_BYTES: '1000000', ASK_MAX_PIXELS: '250000' } });
  url = system.url;
});
afterAll(() => system[Symbol.asyncDispose]());

async function post(init: RequestInit, query = '') {
  const response = await fetch(`${url}/classify${query}`, { method: 'POST', ...init });
  // biome-ignore lint/suspicious/noExplicitAny: answers and problems alike
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}

function form(files: [name: string, content: Buffer][]): FormData {
  const data = new FormData();
  for (const [name, content] of files)
    data.append(name, new Blob([new Uint8Array(content)], { type: 'image/png' }), 'x.png');
  return data;
}

const json = (body: string) => ({ headers: { 'content-type': 'application/json' }, body });

describe('HTTP: a picture comes as a raw body, a form or JSON', () => {
  test('all three give the same answer', async () => {
    const image = await flatPng(SURE_RED);
    const raw = await postImage(url, image);
    const multipart = await post({ body: form([['image', image]]) });
    const base64 = await post(json(JSON.stringify({ image: image.toString('base64') })));
    for (const { status, body } of [raw, multipart, base64]) expect([status, body.label]).toEqual([200, 'red']);
  });

  test('pixels give the answer that a file of them gives, whatever their size', async () => {
    for (const [width, height] of [
      [8, 8],
      [40, 30],
    ] as const) {
      const pixels = Buffer.from(
        Array(width * height)
          .fill(SURE_RED)
          .flat(),
      );
      const { status, body } = await postImage(url, pixels, '', `Image/X-rgb8; width=${width}; height=${height}`);
      const file = (await postImage(url, await flatPng(SURE_RED, width, height))).body;
      expect([status, body.label, body.confidence]).toEqual([200, file.label, file.confidence]);
    }
  });

  test.each<[string, string, number, number, string]>([
    ['too few', 'image/x-rgb8; width=3; height=3', 26, 400, 'invalid-body'],
    ['too many', 'image/x-rgb8; width=3; height=3', 28, 400, 'invalid-body'],
    ['none', 'image/x-rgb8; width=0; height=3', 0, 400, 'invalid-body'],
    ['without a layout', 'image/x-rgb8', 27, 415, 'unsupported-media-type'],
    ['with an impossible one', 'image/x-rgb8; width=-3; height=3', 27, 415, 'unsupported-media-type'],
    ['more than may be', 'image/x-rgb8; width=501; height=500', 751_500, 413, 'too-many-pixels'],
  ])('pixels, %s', async (_, type, length, status, code) => {
    const answer = await postImage(url, Buffer.alloc(length), '', type);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  test.each(['jpeg', 'png', 'webp'] as const)('%s', async (format) => {
    const image = await sharp(await flatPng(SURE_RED, 300, 200))
      .toFormat(format)
      .toBuffer();
    expect((await postImage(url, image, '', `image/${format}`)).body.label).toBe('red');
  });
});

describe('HTTP: bad input gets a problem document', () => {
  const png = { 'content-type': 'image/png' };
  const noise = () =>
    sharp({
      create: {
        width: 400,
        height: 400,
        channels: 3,
        background: '#000',
        noise: { type: 'gaussian', mean: 99, sigma: 50 },
      },
    });

  test.each<[string, () => Promise<RequestInit> | RequestInit, string, number, string]>([
    ['no body', () => ({ headers: png }), '', 400, 'empty-body'],
    ['0 bytes', () => ({ headers: png, body: Buffer.alloc(0) }), '', 400, 'empty-body'],
    ['text', () => ({ headers: png, body: 'hello' }), '', 400, 'not-an-image'],
    [
      'SVG as PNG',
      () => ({ headers: png, body: '<svg xmlns="http://www.w3.org/2000/svg"/>' }),
      '',
      415,
      'unsupported-media-type',
    ],
    [
      'an animated GIF',
      async () => ({ headers: { 'content-type': 'image/gif' }, body: await animation() }),
      '',
      415,
      'unsupported-media-type',
    ],
    ['a GIF as PNG', async () => ({ headers: png, body: await animation() }), '', 415, 'unsupported-media-type'],
    ['plain text', () => ({ headers: { 'content-type': 'text/plain' }, body: 'hello' }), '', 400, 'not-an-image'],
    ['no content type', () => ({ body: new Uint8Array([1, 2]) }), '', 400, 'not-an-image'],
    [
      'cut short',
      async () => ({ headers: png, body: (await noise().webp().toBuffer()).subarray(0, 1000) }),
      '',
      400,
      'corrupt-image',
    ],
    ['too many bytes', () => ({ headers: png, body: Buffer.alloc(1_000_001) }), '', 413, 'payload-too-large'],
    [
      'too many pixels',
      async () => ({ headers: png, body: await flatPng(SURE_RED, 501, 500) }),
      '',
      413,
      'too-many-pixels',
    ],
    ['JSON cut short', () => json('{"image": "abc'), '', 400, 'invalid-body'],
    ['JSON without image', () => json('{"picture": ""}'), '', 400, 'invalid-body'],
    ['JSON of too many parts', () => json(`{"image": "", "all": [${'0,'.repeat(1000)}0]}`), '', 400, 'invalid-body'],
    ['JSON that would change prototypes', () => json('{"__proto__": {"image": ""}}'), '', 400, 'invalid-body'],
    ['JSON null', () => json('null'), '', 400, 'empty-body'],
    ['base64 with something else in it', () => json('{"image": "AAAA AAA"}'), '', 400, 'invalid-body'],
    ['base64 cut off', () => json('{"image": "AAAAA"}'), '', 400, 'invalid-body'],
    ['broken base64', () => json('{"image": "%%%%"}'), '', 400, 'invalid-body'],
    ['base64 of nothing', () => json('{"image": ""}'), '', 400, 'empty-body'],
    [
      'two files',
      async () => ({
        body: form([
          ['image', await flatPng(SURE_RED)],
          ['image', await flatPng(SURE_RED)],
        ]),
      }),
      '',
      400,
      'too-many-pictures',
    ],
    ['another field', async () => ({ body: form([['photo', await flatPng(SURE_RED)]]) }), '', 400, 'empty-body'],
    ['an empty form', () => ({ body: form([]) }), '', 400, 'empty-body'],
    ['a form too large', () => ({ body: form([['image', Buffer.alloc(1_000_001)]]) }), '', 413, 'payload-too-large'],
    [
      'a broken form',
      () => ({ headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--x\r\nnonsense' }),
      '',
      400,
      'invalid-body',
    ],
    [
      'a form without boundary',
      () => ({ headers: { 'content-type': 'multipart/form-data' }, body: 'x' }),
      '',
      400,
      'invalid-body',
    ],
    ...[
      'topK=0',
      'topK=many',
      'deadlineMs=-1',
      'threshold=1.5',
      'strategy=guess',
      'unknown=1',
      'topK=1&topK=2',
      'threshold=',
      'deadlineMs=0x10',
      'topK=%20',
    ].map((query): [string, () => Promise<RequestInit>, string, number, string] => [
      query,
      async () => ({ headers: png, body: new Uint8Array(await flatPng(SURE_RED)) }),
      `?${query}`,
      422,
      'invalid-parameter',
    ]),
  ])('%s', async (_, make, query, status, code) => {
    const { headers, body, ...answer } = await post(await make(), query);
    expect([answer.status, body.code, body.status]).toEqual([status, code, status]);
    expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(Object.keys(body)).toEqual(['type', 'title', 'status', 'code', 'detail']);
    expect(body.detail).not.toBe('');
  });

  test('an address that is not served', async () => {
    const response = await fetch(`${url}/nothing`);
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([404, 'not-found']);
  });
});

describe('HTTP: other addresses', () => {
  test('health, page and description', async () => {
    expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ status: 'alive' });
    const page = await fetch(`${url}/`);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toContain('<title>Ask the Expert</title>');
  });

  test('metrics count answers and errors', async () => {
    await postImage(url, await flatPng(SURE_RED));
    await postImage(url, Buffer.from('hello'));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/ask_answers_total\{strategy="ask",route="edge",degraded="no"\} \d+/);
    expect(metrics).toMatch(/ask_errors_total\{code="not-an-image"\} \d+/);
    expect(metrics).toContain('ask_edge_waiting 0');
  });
});

async function animation(): Promise<Uint8Array<ArrayBuffer>> {
  const frames = sharp(new Uint8Array(9 * 18 * 3), { raw: { width: 9, height: 18, channels: 3, pageHeight: 9 } });
  return new Uint8Array(await frames.gif().toBuffer());
}
