import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Browser, choose, drop, readResult, startBrowser } from '../support/browser.ts';
import { KEY, makeKeyFile, SLOW_KEY } from '../support/key-file.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const chromium = findTool('chromium');
const red = async (name = 'red.png') => ({ name, mimeType: 'image/png', buffer: await flatPng(SURE_RED) });

describe.skipIf(!chromium)('the page: trouble', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser(chromium as string);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
  });

  test('a service that is gone is said, and what was answered before stays', async () => {
    const system = await startTinySystem({ experts: null });
    await using opened = await browser.open(system.url);
    const { page, faults } = opened;
    await choose(page, await red('before.png'));
    await readResult(page, 'before.png');
    await system[Symbol.asyncDispose]();
    await choose(page, await red('after.png'));
    const { text, image } = await readResult(page, 'after.png');
    expect(text).toContain('The service does not answer: it has stopped, or the network is down.');
    expect(await image.count()).toBe(1);
    expect((await readResult(page, 'before.png')).label).toBe('red');
    expect(faults).toEqual([]);
  });

  test('a connection that breaks is said of its picture alone', async () => {
    await using system = await startTinySystem({ experts: null });
    await using opened = await browser.open(system.url);
    const { page } = opened;
    let asked = 0;
    await page.route('**/classify*', async (route) => {
      asked += 1;
      await (asked === 1 ? route.abort('connectionreset') : route.continue());
    });
    await choose(page, await red('lost.png'));
    expect((await readResult(page, 'lost.png')).text).toContain('The service does not answer');
    await choose(page, await red('found.png'));
    expect((await readResult(page, 'found.png')).label).toBe('red');
  });

  test.each<[string, number, string]>([
    ['an error page', 502, '<html>Bad Gateway</html>'],
    ['a login', 200, '<html>Please log in</html>'],
    ['JSON of another service', 200, '{"ok":true}'],
    ['nothing', 503, ''],
  ])('what answers in the place of the service is no answer: %s', async (_, status, body) => {
    await using system = await startTinySystem({ experts: null });
    await using proxy = await startProxy(system.url, { status, body });
    await using opened = await browser.open(proxy.url);
    await choose(opened.page, await red());
    const { text } = await readResult(opened.page, 'red.png');
    expect(text).toContain(`Something else answered in the service’s place, with status ${status}`);
    expect(opened.faults).toEqual([]);
  });

  test.each<[string, Record<string, string>]>([
    ['text', { 'text/plain': 'a cat' }],
    ['a link', { 'text/uri-list': 'https://pictures.example/cat.jpg', 'text/html': '<a href="cat.jpg">a cat</a>' }],
    ['nothing', {}],
  ])('%s that is dropped is said to be no file', async (_, data) => {
    await using system = await startTinySystem({ experts: null });
    await using opened = await browser.open(system.url);
    const { page } = opened;
    await drop(page, data);
    await page.getByRole('alert').filter({ hasText: 'text or a link, not a file' }).waitFor();
    expect(await page.locator('article').count()).toBe(0);
    await drop(page, [await red()], 'nav');
    expect((await readResult(page, 'red.png')).label).toBe('red');
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  test('a key that is missing, wrong or used too often is said; it is kept for the tab', async () => {
    await using file = await makeKeyFile();
    await using system = await startTinySystem({ env: { ASK_API_KEYS_FILE: file.path }, experts: null });
    await using opened = await browser.open(system.url);
    const { page } = opened;
    const field = page.getByLabel('API key');
    await field.waitFor();
    const tries: [string, RegExp][] = [
      ['', /An API key is needed: ./],
      ['ask_guessed', /The API key is not accepted: .+[^.]\.\s*$/],
      ['ключ', /The API key has characters that no key has\./],
      [SLOW_KEY, /red/],
      [SLOW_KEY, /The API key is used too often: .+ Come back in \d+ s\./],
    ];
    for (const [i, [key, words]] of tries.entries()) {
      await field.fill(key);
      await choose(page, await red(`${i}.png`));
      expect((await readResult(page, `${i}.png`)).text).toMatch(words);
    }
    await field.fill(KEY);
    await page.reload();
    await expect.poll(() => field.inputValue()).toBe(KEY);
  });
});

/** Passes everything on but questions, which it answers itself. */
async function startProxy(target: string, { status, body }: { status: number; body: string }) {
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') return response.writeHead(status).end(body);
    const answer = await fetch(`${target}${request.url}`);
    const headers = Object.fromEntries(answer.headers);
    return response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.asyncDispose]: close };
}
