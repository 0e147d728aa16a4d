import { hash } from 'node:crypto';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import helmet from 'helmet';

/**
 * The `onRequest` hook that sets the usual headers against misuse in browsers. Only the script and the style inside
 * `page` may run, known by their digests; the page may show the picture dropped on it and ask this server.
 */
export function createSecurityHeaders(page: string) {
  const set = helmet({
    contentSecurityPolicy: {
      useDefaults: false, // they would send a page that came by HTTP to HTTPS, which this server does not speak
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: [digestOf('script', page)],
        styleSrc: [digestOf('style', page)],
        imgSrc: ['blob:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
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

function digestOf(element: 'script' | 'style', page: string): string {
  const text = new RegExp(`<${element}[^>]*>([\\s\\S]*?)</${element}>`).exec(page)?.[1];
  if (text === undefined) throw new Error(`the page has no ${element}`);
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}
