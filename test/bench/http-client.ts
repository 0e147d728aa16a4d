import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  body: Buffer;
}

interface Request {
  path: string;
  type: string;
  /** Others than those of every request. */
  headers?: Record<string, number>;
  body: Buffer;
}

/**
 * One kept-open HTTP/1.1 connection, one request at a time: so little work per request that the load generator does not
 * compete with what it measures. A body that comes in chunks is given with their lengths between them.
 */
export class Connection {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #pending: PromiseWithResolvers<Answer> | undefined;

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  /** Connects if need be. Rejects when the connection breaks; the next call connects anew. */
  post({ path, type, headers = {}, body }: Request): Promise<Answer> {
    const others = Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
    this.#socket ??= this.#connect();
    const socket = this.#socket;
    const pending = Promise.withResolvers<Answer>();
    this.#pending = pending;
    const head = `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n${others}\r\n`;
    socket.cork();
    socket.write(head);
    socket.write(body);
    socket.uncork();
    return pending.promise;
  }

  close(): void {
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const socket = connect(this.#port, this.#host);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
    return socket;
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.toString('latin1', 0, headEnd);
    const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1];
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const chunked = /\r\ntransfer-encoding: *chunked/i.test(head);
    if (status === undefined || (length === undefined && !chunked)) {
      this.#fail(new Error(`cannot read the answer: ${head}`));
      return;
    }
    const rest = this.#received.subarray(headEnd + 4);
    const end = chunked ? endOfChunks(rest) : Number(length);
    if (end === undefined || rest.length < end) return;
    const body = rest.subarray(0, end);
    this.#received = rest.subarray(end);
    const pending = this.#pending;
    this.#pending = undefined;
    if (/\r\nconnection: *close/i.test(head)) this.#socket = undefined;
    pending?.resolve({ status: Number(status), body });
  }

  #fail(error: Error): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#received = Buffer.alloc(0);
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}

/** Where a body in chunks ends; undefined while it goes on. */
function endOfChunks(received: Buffer): number | undefined {
  for (let at = 0; ; ) {
    const line = received.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(received.toString('latin1', at, line), 16);
    at = line + 2 + size + 2;
    if (size === 0) return at <= received.length ? at : undefined;
  }
}
