import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ManifestV1 } from '../../shared/bundle/manifest-v1.ts';
import { type Browser, choose, drop, readResult, startBrowser } from '../support/browser.ts';
import { KEY, makeKeyFile } from '../support/key-file.ts';
import { startTinySystem } from '../support/system.ts';
import { flatPng, SURE_RED, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const chromium = findTool('chromium');
const LABEL = 'aquarium_fish'; // instead of red: no label of a shipped bundle is longer

describe.skipIf(!chromium)('the page: for everybody', () => {
  let axe: string;
  let browser: Browser;
  let system: Awaited<ReturnType<typeof startTinySystem>>;
  let file: Awaited<ReturnType<typeof makeKeyFile>>;
  beforeAll(async () => {
    axe = await readFile(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
    file = await makeKeyFile();
    browser = await startBrowser(chromium as string);
    const change = (manifest: ManifestV1) => {
      manifest.labels[0] = LABEL;
    };
    system = await startTinySystem({ change, env: { ASK_API_KEYS_FILE: file.path } });
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await system?.[Symbol.asyncDispose]();
    await file?.[Symbol.asyncDispose]();
  });

  async function findViolations(page: Page) {
    await page.evaluate(axe);
    type Found = { violations: { id: string; impact: string; nodes: { html: string }[] }[] };
    const { violations } = await page.evaluate<Found>('axe.run()');
    return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(({ html }) => html)}`);
  }

  /** Answers of every kind, refusals of every kind, and what a guarded link brings. */
  async function fill(page: Page) {
    const picture = async (name: string, colour: [number, number, number]) => {
      return { name, mimeType: 'image/png', buffer: await flatPng(colour) };
    };
    await page.getByLabel('API key').fill(KEY);
    await page.getByRole('link', { name: 'metrics' }).click();
    await readResult(page, 'metrics');
    const long = `${'a-name-that-no-line-of-a-telephone-holds-'.repeat(3)}.png`;
    const text = { name: 'text.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('hello') };
    await choose(page, await picture(long, SURE_RED), await picture('unsure.png', UNSURE_WARM), text);
    for (const name of [long, 'unsure.png', 'text.jpg']) await readResult(page, name);
    await drop(page, { 'text/plain': 'hello' });
    await page.getByRole('alert').filter({ hasText: 'not a file' }).waitFor();
  }

  test.each(['light', 'dark'] as const)('axe finds nothing wrong with it, empty or full: %s', async (colorScheme) => {
    await using opened = await browser.open(system.url, { colorScheme });
    const { page, faults } = opened;
    await page.getByLabel('API key').waitFor();
    expect(await findViolations(page)).toEqual([]);
    await fill(page);
    expect(await findViolations(page)).toEqual([]);
    expect(faults).toEqual([]);
  });

  test('the dark scheme is dark', async () => {
    const grounds = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await using opened = await browser.open(system.url, { colorScheme });
      grounds.push(await opened.page.evaluate('getComputedStyle(document.body).backgroundColor'));
    }
    expect(grounds).toEqual(['rgb(245, 247, 249)', 'rgb(18, 24, 31)']);
  });

  test('at 360 pixels nothing reaches beyond the edge, and table, headings and links keep to their lines', async () => {
    await using opened = await browser.open(system.url, { viewport: { width: 360, height: 740 } });
    const { page } = opened;
    await page.getByLabel('API key').waitFor();
    await fill(page);
    const { width, beyond, lines } = await page.evaluate<{ width: number; beyond: string[]; lines: number[] }>(`({
      width: document.documentElement.scrollWidth,
      beyond: [...document.querySelectorAll('body *:not(.unseen, #files)')]
        .filter((element) => element.getBoundingClientRect().right > 360)
        .map((element) => element.outerHTML),
      lines: [...document.querySelectorAll('h1, h2, #drop span, .label, th, td, nav, caption')].map((element) => {
        return element.getBoundingClientRect().height / parseFloat(getComputedStyle(element).lineHeight);
      }),
    })`);
    expect([width, beyond]).toEqual([360, []]);
    expect(Math.max(...lines)).toBeLessThan(1.9);
  });

  test('the keyboard suffices: the field for files gets the focus, shows it, and opens the choice', async () => {
    await using opened = await browser.open(system.url);
    const { page } = opened;
    await page.getByLabel('API key').waitFor();
    const choosing = page.waitForEvent('filechooser'); // long before: the browser must hear of it first
    const focused = () => page.evaluate('document.activeElement.id');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('key');
    await page.keyboard.type(KEY);
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('files');
    expect(await page.evaluate("getComputedStyle(document.getElementById('drop')).outlineStyle")).toBe('solid');
    await page.keyboard.press('Enter');
    const chooser = await choosing;
    expect(chooser.isMultiple()).toBe(true);
    await chooser.setFiles({ name: 'red.png', mimeType: 'image/png', buffer: await flatPng(SURE_RED) });
    expect((await readResult(page, 'red.png')).label).toBe(LABEL);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('experts');
    await page.keyboard.press('Enter');
    expect((await readResult(page, 'experts')).text).toContain('"warm"');
  });

  test('landmarks, heading, language and names are there; an answer is announced', async () => {
    await using opened = await browser.open(system.url);
    const { page } = opened;
    await page.getByLabel('API key').fill(KEY);
    for (const role of ['main', 'banner', 'navigation'] as const) expect(await page.getByRole(role).count()).toBe(1);
    expect(await page.getByRole('heading', { level: 1 }).allInnerTexts()).toEqual(['Ask the Expert']);
    expect(await page.locator('html').getAttribute('lang')).toBe('en');
    await choose(page, { name: 'red.png', mimeType: 'image/png', buffer: await flatPng(SURE_RED) });
    await page
      .getByRole('status')
      .filter({ hasText: `red.png: ${LABEL}, > 99.9 %` })
      .waitFor();
    expect(await page.getByRole('img', { name: 'The picture red.png' }).count()).toBe(1);
  });
});
