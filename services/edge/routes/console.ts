import { readFile } from 'node:fs/promises';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';

/** The page at `/`: drop a picture, see the answer and its route. */
export const consoleRoutes: FastifyPluginAsyncZod = async (app) => {
  const page = await readFile(new URL('../console.html', import.meta.url), 'utf8');
  app.get('/', { schema: { hide: true } }, async (_, reply) => reply.type('text/html; charset=utf-8').send(page));
};
