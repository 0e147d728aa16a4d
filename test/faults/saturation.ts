import { postImage } from '../support/service.ts';
import { flatPng, SURE_RED, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';

/** Requests a second that the system answers when 32 clients ask without pause, a third of them for the edge alone. */
export async function saturation(urls: string[]): Promise<number> {
  const pictures = await Promise.all([SURE_RED, UNSURE_WARM, UNSURE_COLD].map((colour) => flatPng(colour)));
  const begun = performance.now();
  let answered = 0;
  const client = async (_: unknown, first: number) => {
    for (let i = first; performance.now() < begun + 5000; i++) {
      const { status } = await postImage(
        urls[i % urls.length] as string,
        pictures[i % 3] as Buffer,
        '?deadlineMs=10000',
      );
      if (status === 200) answered += 1;
    }
  };
  await Promise.all(Array.from({ length: 32 }, client));
  return (1000 * answered) / (performance.now() - begun);
}
