import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postPicture, ServiceError } from '../../services/cli/remote.ts';

const PROBLEM = {
  type: 'about:blank',
  title: 'T',
  status: 413,
  code: 'too-many-pixels',
  detail: 'send a\u001b[2J smaller one',
};

/** What else may listen where the edge is looked for, by the first part of the path. */
const others: Record<string, RequestListener> = {
  html: (_, reply) => reply.setHeader('content-type', 'text/html').end('<html>log in'),
  gateway: (_, reply) => reply.writeHead(502, { 'content-type': 'text/html' }).end('<html>bad gateway'),
  json: (_, reply) => reply.setHeader('content-type', 'application/json').end('{"label":"cat"}'),
  cut: (_, reply) => reply.setHeader('content-type', 'application/json').end('{"label":'),
  missing: (_, reply) => reply.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"Not Found"}'),
  moved: (_, reply) => reply.writeHead(307, { location: 'https://elsewhere.test/' }).end(),
  empty: (_, reply) => reply.end(),
  none: (_, reply) => reply.writeHead(204).end(),
  silent: () => {},
  stuck: (_, reply) => void reply.setHeader('content-type', 'application/json').write('{'),
  gone: (request) => request.socket.destroy(),
  key: (_, reply) =>
    reply
      .writeHead(401, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ ...PROBLEM, code: 'missing-key' })),
  problem: (_, reply) =>
    reply.writeHead(413, { 'content-type': 'application/problem+json' }).end(JSON.stringify(PROBLEM)),
};

const server = createServer((request, reply) => {
  const [, name = ''] = (request.url as string).split('/');
  request.resume().once('end', () => others[name]?.(request, reply));
});
let origin: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function refusalOf(name: string) {
  const error: Error = await postPicture({ address: `${origin}/${name}`, timeoutMs: 500 }, Buffer.from('x')).then(
    () => new Error('it was taken for an answer'),
    (error) => error,
  );
  return { ofService: error instanceof ServiceError, message: error.message.replace(`${origin}/${name}`, 'URL') };
}

test.each([
  ['html', 'URL answered 200 with text/html: not Ask the Expert'],
  ['gateway', 'URL answered 502 with text/html: not Ask the Expert'],
  ['json', 'URL answered 200 with application/json: not Ask the Expert'],
  ['cut', 'URL answered 200 with application/json: not Ask the Expert'],
  ['missing', 'URL answered 404 with application/json: not Ask the Expert'],
  ['moved', 'URL answered 307 with no content type and sends to https://elsewhere.test/: not Ask the Expert'],
  ['empty', 'URL answered 200 with no content type: not Ask the Expert'],
  ['none', 'URL answered 204 with no content type: not Ask the Expert'],
  ['silent', 'URL has not answered within 0.5 s'],
  ['stuck', 'URL has not answered within 0.5 s'],
  ['gone', 'URL does not answer: other side closed'],
  ['key', `401 missing-key: ${PROBLEM.detail}`],
])('command line: what is no answer of the edge is told in a line, and ends the run: %s', async (name, message) => {
  expect(await refusalOf(name)).toEqual({ ofService: true, message });
});

test("command line: what the edge says against a picture is that picture's", async () => {
  expect(await refusalOf('problem')).toEqual({ ofService: false, message: `413 too-many-pixels: ${PROBLEM.detail}` });
});
