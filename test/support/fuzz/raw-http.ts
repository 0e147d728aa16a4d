import { connect } from 'node:net';
import type { HttpAnswer } from './system.ts';

export interface Exchange {
  /** The responses, in order. */
  answers: HttpAnswer[];
  received: string;
}

/**
 * Writes bytes on a connection of their own and takes what comes back, until there are so many answers or the server
 * closes the connection. Rejects after `limitMs`.
 */
export function exchange(url: string, bytes: Uint8Array, limitMs: number, enough = 1): Promise<Exchange> {
  const { hostname, port } = new URL(url);
  const chunks: Buffer[] = [];
  const text = () => Buffer.concat(chunks).toString('latin1');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const limit = setTimeout(() => finish(new Error(`no end after ${limitMs} ms: ${text()}`)), limitMs);
    function finish(error?: Error): void {
      clearTimeout(limit);
      socket.destroy();
      const { answers, rest } = parseAnswers(text());
      if (error) reject(error);
      else if (rest !== '') reject(new Error(`not an HTTP answer: ${rest.slice(0, 300)}`));
      else resolve({ answers, received: text() });
    }
    socket.on('error', () => {}); // a server that closes while bytes are on their way; 'close' follows
    socket.on('close', () => finish());
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (parseAnswers(text()).answers.length >= enough) finish();
    });
    socket.write(bytes);
  });
}

/** A request as bytes; text stands for one byte a character. */
export function toRequest(
  start: string,
  headers: [name: string, value: string][],
  body: Uint8Array | string = '',
): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  const lines = [...headers, ['content-length', String(bytes.length)], ['host', 'x']];
  const head = `${start} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes]);
}

/** The answers of a stream, and what follows the last complete one. An answer without a length is taken for empty. */
function parseAnswers(stream: string): { answers: HttpAnswer[]; rest: string } {
  const answers: HttpAnswer[] = [];
  let rest = stream;
  for (;;) {
    const head = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
    if (!head) return { answers, rest };
    const [whole, status, lines] = head as unknown as [string, string, string];
    const field = (name: string) => new RegExp(`^${name}: *(.*)\r$`, 'im').exec(lines)?.[1];
    const length = Number(field('content-length') ?? 0);
    if (rest.length < whole.length + length) return { answers, rest };
    const text = Buffer.from(rest.slice(whole.length, whole.length + length), 'latin1').toString('utf8');
    if (status !== '100') answers.push({ status: Number(status), type: field('content-type') ?? '', text });
    rest = rest.slice(whole.length + length);
  }
}
