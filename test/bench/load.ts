import sharp from 'sharp';

/**
 * A closed loop of clients against `/classify`, as a process of its own: `node load.ts URL CLIENTS SECONDS`. Every
 * picture is different. Prints one JSON object; any answer but 200 is an error.
 */
const [url, clients, seconds] = process.argv.slice(2) as [string, string, string];

const pictures = await Promise.all(
  Array.from({ length: 500 }, () => {
    const pixels = Uint8Array.from({ length: 32 * 32 * 3 }, () => Math.random() * 256);
    return sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toBuffer();
  }),
);
const end = performance.now() + Number(seconds) * 1000;
let answers = 0;
await Promise.all(
  Array.from({ length: Number(clients) }, async (_, client) => {
    for (let i = client; performance.now() < end; i += Number(clients)) {
      const body = new Uint8Array(pictures[i % pictures.length] as Buffer);
      const response = await fetch(`${url}/classify`, {
        method: 'POST',
        headers: { 'content-type': 'image/png' },
        body,
      });
      await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`answered ${response.status}`);
      answers += 1;
    }
  }),
);
process.stdout.write(JSON.stringify({ perSecond: answers / Number(seconds) }));
