import type { FastifyCorsOptions } from '@fastify/cors';

const PREFLIGHT_S = 600; // how long a browser need not ask again

/** Lets pages of such origins ask, and read answers and errors; everyone else is told nothing of CORS. */
export function corsOptions(origins: string[]): FastifyCorsOptions {
  return {
    origin: async (origin: string | undefined) => origin !== undefined && origins.includes(origin),
    methods: ['GET', 'HEAD', 'POST'],
    exposedHeaders: ['retry-after', 'allow', 'traceparent', 'www-authenticate', 'accept-encoding'],
    maxAge: PREFLIGHT_S,
    strictPreflight: false, // it would answer text where everything else is a problem document
  };
}
