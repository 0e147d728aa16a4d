import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { open } from '../schemas.ts';

/** The page at `/`: drop a picture, see the answer and its route. */
export const consoleRoutes: FastifyPluginAsyncZod<{ page: string }> = async (app, { page }) => {
  const schema = { ...open, hide: true };
  app.get('/', { schema }, async (_, reply) => reply.type('text/html; charset=utf-8').send(page));
};
