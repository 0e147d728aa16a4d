import type { FastifyCorsOptions } from '@fastify/cors';

const PREFLIGHT_S = 600; // how long browsers cache the preflight answer

/** Lets pages of these origins call and read answers and errors. Everyone else gets no CORS headers. */
export function corsOptions(origins: string[]): FastifyCorsOptions {
  return {
    origin: async (origin: string | undefined) => origin !== undefined && origins.includes(origin),
    methods: ['GET', 'HEAD', 'POST'],
    exposedHeaders: ['retry-after', 'allow', 'traceparent', 'www-authenticate', 'accept-encoding'],
    maxAge: PREFLIGHT_S,
    strictPreflight: false, // it would answer with text where everything else is a problem document
  };
}
