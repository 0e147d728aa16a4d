import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';

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
