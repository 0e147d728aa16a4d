import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Browser, choose, drop, readColour, readResult, startBrowser } from '../support/browser.ts';
import { keyLine, makeKeyFile } from '../support/key-file.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const chromium = findTool('chromium');
const SURE_BLUE: [number, number, number] = [10, 10, 250];
const SURE_GREEN: [number, number, number] = [10, 250, 10];

const png = async (name: string, colour: [number, number, number]) => {
  return { name, mimeType: 'image/png', buffer: await flatPng(colour) };
};

describe.skipIf(!chromium)('the page: results', () => {
  let browser: Browser;
  let system: Awaited<ReturnType<typeof startTinySystem>>;
  beforeAll(async () => {
    [browser, system] = await Promise.all([startBrowser(chromium as string), startTinySystem()]);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await system?.[Symbol.asyncDispose]();
  });

  test('of two quick drops each answer stands under its own picture, whichever comes first', async () => {
    await using opened = await browser.open(system.url);
    const { page, faults } = opened;
    const later = Promise.withResolvers<void>();
    let asked = 0;
    await page.route('**/classify*', async (route) => {
      asked += 1;
      if (asked === 1) await later.promise;
      await route.continue();
    });
    const asking = page.waitForRequest('**/classify*');
    await drop(page, [await png('first.png', SURE_RED)]);
    await asking;
    await drop(page, [await png('second.png', SURE_BLUE)]);
    const second = await readResult(page, 'second.png');
    expect(await page.locator('article').allInnerTexts()).toEqual([
      expect.stringContaining('second.png'),
      expect.stringMatching(/^first\.png\s+Asking …$/),
    ]);
    later.resolve();
    const first = await readResult(page, 'first.png');
    expect([first.label, second.label]).toEqual(['red', 'blue']);
    expect(await readColour(first.image)).toEqual(SURE_RED);
    expect(await readColour(second.image)).toEqual(SURE_BLUE);
    expect(await first.image.getAttribute('alt')).toBe('The picture first.png');
    expect(faults).toEqual([]);
  });

  test('several files are all answered, one under the other in their order, a few at a time', async () => {
    await using opened = await browser.open(system.url);
    const { page } = opened;
    let [asking, most] = [0, 0];
    page.on('request', (request) => {
      if (!request.url().includes('/classify')) return;
      asking += 1;
      most = Math.max(most, asking);
    });
    page.on('requestfinished', (request) => {
      if (request.url().includes('/classify')) asking -= 1;
    });
    const colours = Array.from({ length: 12 }, (_, i) => [SURE_RED, SURE_GREEN, SURE_BLUE][i % 3] as typeof SURE_RED);
    await choose(page, ...(await Promise.all(colours.map((colour, i) => png(`${i}.png`, colour)))));
    const labels = [];
    for (const i of colours.keys()) labels.push((await readResult(page, `${i}.png`)).label);
    expect(labels).toEqual(colours.map((_, i) => ['red', 'green', 'blue'][i % 3]));
    expect(await page.locator('h2').allInnerTexts()).toEqual(colours.map((_, i) => `${i}.png`));
    expect(most).toBeLessThanOrEqual(3);
  });

  test('the same file can be chosen again; its first reason stands beside that it comes from the cache', async () => {
    await using opened = await browser.open(system.url);
    const { page } = opened;
    const file = await png('again.png', [127, 120, 120]);
    await choose(page, file);
    expect((await readResult(page, 'again.png')).text).not.toContain('cache');
    await choose(page, file);
    await expect.poll(() => page.locator('article .label').count()).toBe(2);
    const [again] = await page.locator('article').allInnerTexts();
    expect(again).toContain('From the cache');
    expect(again).toMatch(/was not sure enough \(confidence 0\.\d{3}, threshold 0\.900\)/);
    expect(again).toContain('The expert “warm” was asked');
  });

  test("the generalist's own labels stand beside the merged ones", async () => {
    await using opened = await browser.open(system.url);
    const { page } = opened;
    await choose(page, await png('unsure.png', UNSURE_WARM), await png('sure.png', SURE_RED));
    const { rows, text, label } = await readResult(page, 'unsure.png');
    expect(label).toBe('grey');
    const share = expect.stringMatching(/^(> 99\.9|\d+\.\d|< 0\.1) %$/);
    const shares = (name: string) => [name, share, share];
    expect(rows[0]).toEqual(['Label', 'Generalist', 'With expert']);
    expect(rows.slice(1).map(([name]) => name)).toEqual(expect.arrayContaining(['red', 'green', 'blue', 'grey']));
    expect(rows.slice(1)).toEqual(rows.slice(1).map(([name]) => shares(name as string)));
    expect(rows[1]?.[0]).toBe('grey');
    expect(text).toContain('The expert “warm” was asked; the answers are merged.');
    const sure = await readResult(page, 'sure.png');
    expect(sure.rows.slice(0, 2)).toEqual([
      ['Label', 'Generalist'],
      ['red', '> 99.9 %'],
    ]);
    expect(sure.text).toContain('It answered by itself.');
  });

  test('an escalation that failed is said in words', async () => {
    await using alone = await startTinySystem({ experts: null });
    await using opened = await browser.open(alone.url);
    await choose(opened.page, await png('unsure.png', UNSURE_WARM));
    const { text, rows } = await readResult(opened.page, 'unsure.png');
    expect(text).toContain('An expert was wanted, but none is there (no-expert): this is the generalist’s own answer.');
    expect(rows[0]).toEqual(['Label', 'Generalist']);
  });

  test('who is told to come back later does so once, one file after the other', async () => {
    const key = 'ask_of-somebody-in-a-hurry-0123456789';
    await using file = await makeKeyFile(keyLine(key, 'hurry', 2));
    await using keyed = await startTinySystem({ env: { ASK_API_KEYS_FILE: file.path } });
    await using opened = await browser.open(keyed.url);
    const { page } = opened;
    await page.getByLabel('API key').fill(key);
    let sent = 0;
    page.on('request', (request) => {
      if (request.url().includes('/classify')) sent += 1;
    });
    await choose(page, ...(await Promise.all([0, 1, 2, 3, 4].map((i) => png(`${i}.png`, [250, 10, i])))));
    for (const i of [0, 1, 2, 3, 4]) expect((await readResult(page, `${i}.png`)).label).toBe('red');
    expect(sent).toBeGreaterThan(5);
  });
});
