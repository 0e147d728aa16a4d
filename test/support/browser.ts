import { type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';

const args = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Chromium without a window, with a profile of its own that goes with it. */
export async function startBrowser(executablePath: string) {
  const browser = await chromium.launch({ executablePath, args, chromiumSandbox: false });
  return {
    /** The page of `url` in a profile of its own; `faults` are what its script could not do, and what was forbidden. */
    async open(url: string, options: BrowserContextOptions = {}) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const faults: string[] = [];
      page.on('pageerror', (error) => faults.push(String(error)));
      page.on('console', (message) => {
        // Chromium's own words about a refusal that the page tells in its own.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          faults.push(message.text());
        }
      });
      await page.goto(url);
      return { page, faults, [Symbol.asyncDispose]: () => context.close() };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

export type Browser = Awaited<ReturnType<typeof startBrowser>>;

/** A file as it is chosen or dropped. */
export interface PageFile {
  name: string;
  mimeType: string;
  buffer: Buffer;
}

export async function choose(page: Page, ...files: PageFile[]): Promise<void> {
  await page.setInputFiles('#files', files);
}

/** What a drag from outside leaves on the page: files, or data by type. */
export async function drop(page: Page, what: PageFile[] | Record<string, string>, target = 'main'): Promise<void> {
  const files = Array.isArray(what)
    ? what.map(({ name, mimeType, buffer }) => ({ name, mimeType, base64: buffer.toString('base64') }))
    : [];
  const data = Array.isArray(what) ? {} : what;
  await page.evaluate(
    `(() => {
      const { files, data, target } = ${JSON.stringify({ files, data, target })};
      const dataTransfer = new DataTransfer();
      for (const { name, mimeType, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name, { type: mimeType }));
      }
      for (const [type, text] of Object.entries(data)) dataTransfer.setData(type, text);
      const event = (name) => new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true });
      const place = document.querySelector(target);
      place.dispatchEvent(event('dragover'));
      place.dispatchEvent(event('drop'));
    })()`,
  );
}

/** What stands under a file's name once its last word is said. */
export async function readResult(page: Page, name: string) {
  const article = page.locator('article', { has: page.getByRole('heading', { name, exact: true }) });
  await article.locator('.label, pre, p.error').first().waitFor();
  const rows = await article.locator('tr').evaluateAll((list) => {
    return list.map((row) => [...row.children].map((cell) => cell.textContent as string));
  });
  const [label = ''] = await article.locator('.label').allInnerTexts();
  const [text = ''] = await article.allInnerTexts();
  return { text, label: label.replace(/ .*/s, ''), rows, image: article.locator('img') };
}

/** Red, green and blue of an image, on average. */
export async function readColour(image: Locator): Promise<number[]> {
  return image.evaluate((shown) => {
    const canvas = shown.ownerDocument.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d');
    context.drawImage(shown, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
}

/** Bodies that the page sends from now on, by asking the page: Chromium shows nobody else what a file holds. */
export async function recordSent(page: Page) {
  await page.evaluate(`(() => {
    const { fetch } = globalThis;
    globalThis.sent = [];
    globalThis.fetch = (path, options) => {
      if (options?.body) sent.push(options.body);
      return fetch(path, options);
    };
  })()`);
  return async () => {
    const sent = await page.evaluate<{ type: string; base64: string }[]>(`Promise.all(sent.map(async (body) => {
      const bytes = new Uint8Array(await body.arrayBuffer());
      return { type: body.type, base64: bytes.toBase64() };
    }))`);
    return sent.map(({ type, base64 }) => ({ type, body: Buffer.from(base64, 'base64') }));
  };
}
