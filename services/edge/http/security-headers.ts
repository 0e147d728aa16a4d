import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import helmet from 'helmet';

/**
 * The `onRequest` hook that sets the usual headers against misuse in browsers. Only this server's scripts and style may
 * run, none that stands in a page or is made from text; the page may show what is dropped on it and ask this server.
 */
export function createSecurityHeaders() {
  const set = helmet({
    contentSecurityPolicy: {
      useDefaults: false, // they would send a page that came by HTTP to HTTPS, which this server does not speak
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
    strictTransportSecurity: false, // for whoever ends TLS to say
  });
  // They are the same for every answer: made once, they cost little.
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  set(response.req, response, () => {});
  const headers = response.getHeaders();
  return (_: FastifyRequest, reply: FastifyReply, done: () => void) => {
    reply.headers(headers);
    done();
  };
}
