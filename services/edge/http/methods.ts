import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { AppError } from '../../../shared/request/errors.ts';

/**
 * The hook that refuses a request that no route serves, before its body is read; with `Allow` if only the method is
 * wrong. Must be created before the routes.
 */
export function createRouteCheck(app: { addHook(name: 'onRoute', hook: (route: RouteOptions) => void): unknown }) {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    for (const name of [method].flat()) known.add(name);
    methods.set(url, known);
  });
  return async (request: FastifyRequest, reply: FastifyReply) => {
    if (!request.is404) return;
    const { method, url } = request;
    const [path = ''] = url.split('?', 1);
    const allowed = methods.get(path);
    if (!allowed) throw new AppError('not-found', `${method} ${url} is not served here`);
    const allow = [...allowed].sort().join(', ');
    reply.header('allow', allow);
    throw new AppError('method-not-allowed', `${path} takes ${allow}, not ${method}`);
  };
}
