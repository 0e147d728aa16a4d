import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  body: Buffer;
}

interface Request {
  path: string;
  type: string;
  body: Buffer;
}

/**
 * One kept-open HTTP/1.1 connection, one request at a time: so little work per request that the load generator does not
 * compete with what it measures. Takes answers with `content-length` only; whatever else comes is an error.
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
  post({ path, type, body }: Request): Promise<Answer> {
    this.#socket ??= this.#connect();
    const socket = this.#socket;
    const pending = Promise.withResolvers<Answer>();
    this.#pending = pending;
    const head = `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`;
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
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1];
    if (length === undefined || status === undefined) {
      this.#fail(new Error(`cannot read the answer: ${head}`));
      return;
    }
    const end = headEnd + 4 + Number(length);
    if (this.#received.length < end) return;
    const body = this.#received.subarray(headEnd + 4, end);
    this.#received = this.#received.subarray(end);
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
