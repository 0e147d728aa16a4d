import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import helmet from 'helmet';

/**
 * The `onRequest` hook that sets security headers for browsers. Only this server's scripts and styles may run, none
 * that are inline or made from text. The page may show dropped pictures and call this server.
 */
export function createSecurityHeaders() {
  const set = helmet({
    contentSecurityPolicy: {
      useDefaults: false, // they would upgrade a page from HTTP to HTTPS, which this server does not speak
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ['blob:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        requireTrustedTypesFor: ["'script'"],
        trustedTypes: ["'none'"],
      },
    },
    xFrameOptions: { action: 'deny' },
    strictTransportSecurity: false, // left to whoever terminates TLS
  });
  // The headers are the same for every answer, so they are computed once.
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  set(response.req, response, () => {});
  const headers = response.getHeaders();
  return (_: FastifyRequest, reply: FastifyReply, done: () => void) => {
    reply.headers(headers);
    done();
  };
}
