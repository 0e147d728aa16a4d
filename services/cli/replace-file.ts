import { rename, rm, writeFile } from 'node:fs/promises';

/** Writes a file atomically: readers see the old content or the new one. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await writeFile(partial, content);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
