import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';

/** The page at `/`: drop a picture, see the answer and its route. */
export const consoleRoutes: FastifyPluginAsyncZod<{ page: string }> = async (app, { page }) => {
  app.get('/', { schema: { hide: true } }, async (_, reply) => reply.type('text/html; charset=utf-8').send(page));
};
