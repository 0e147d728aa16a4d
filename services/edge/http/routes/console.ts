import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { AppDependencies } from '../dependencies.ts';
import { open } from '../schemas.ts';

const folder = new URL('../console/', import.meta.url);
const types: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css' };

/**
 * The page at `/`, with its scripts and style under `/console/`: drop pictures on it, see the answers and their routes.
 */
export const consoleRoutes: FastifyPluginAsyncZod<Pick<AppDependencies, 'maxBodyBytes'>> = async (
  app,
  dependencies,
) => {
  const serve = (path: string, type: string, text: string) =>
    app.get(path, { schema: { ...open, hide: true } }, async (_, reply) =>
      reply.type(`${type}; charset=utf-8`).header('cache-control', 'no-cache').send(text),
    );
  const read = (name: string) => readFile(new URL(name, folder), 'utf8');
  const page = await read('index.html');
  serve('/', 'text/html', page.replace('{maxBodyBytes}', String(dependencies.maxBodyBytes)));
  for (const name of await readdir(folder)) {
    const type = types[extname(name)];
    if (type) serve(`/console/${name}`, type, await read(name));
  }
};
