import { connect } from 'node:net';

export interface RawMessage {
  subject: string;
  /** Where an answer goes; empty if none is wanted. */
  reply: string;
  /** The block of headers as it came, a byte a character; empty if there was none. */
  headers: string;
  payload: Buffer;
}

/** A NATS connection that writes whatever it is told to: what a client library would refuse to send. */
export async function connectRawNats(url: string) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setNoDelay();
  const handlers = new Map<string, (message: RawMessage) => void>();
  let pending: Buffer = Buffer.alloc(0);
  let complaint = '';
  let next = 0;
  const flushed: PromiseWithResolvers<void>[] = [];

  socket.on('error', () => {});
  socket.on('close', () => {
    for (const { reject } of flushed) reject(new Error(`the server closed the connection: ${complaint}`));
  });
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (let taken = take(pending); taken > 0; taken = take(pending)) pending = pending.subarray(taken);
  });

  /** Handles the first protocol message; the number of its bytes, 0 if it is not all there. */
  function take(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n');
    if (end < 0) return 0;
    const [verb, ...fields] = bytes.toString('latin1', 0, end).split(' ');
    if (verb === 'PING') socket.write('PONG\r\n');
    if (verb === 'PONG') flushed.shift()?.resolve();
    if (verb === '-ERR') complaint = fields.join(' ');
    if (verb !== 'MSG' && verb !== 'HMSG') return end + 2;
    const total = Number(fields.at(-1));
    const split = verb === 'HMSG' ? Number(fields.at(-2)) : 0;
    const from = end + 2;
    if (bytes.length < from + total + 2) return 0;
    const sizes = verb === 'HMSG' ? 2 : 1;
    handlers.get(fields[1] as string)?.({
      subject: fields[0] as string,
      reply: fields.length > 2 + sizes ? (fields[2] as string) : '',
      headers: bytes.toString('latin1', from, from + split),
      payload: Buffer.from(bytes.subarray(from + split, from + total)),
    });
    return from + total + 2;
  }

  function publish(subject: string, reply: string, headers: string, payload: Uint8Array): void {
    const block = Buffer.from(headers, 'latin1');
    const to = reply === '' ? subject : `${subject} ${reply}`;
    const sizes = headers === '' ? `${payload.length}` : `${block.length} ${block.length + payload.length}`;
    socket.write(
      Buffer.concat([
        Buffer.from(`${headers === '' ? 'PUB' : 'HPUB'} ${to} ${sizes}\r\n`),
        block,
        payload,
        Buffer.from('\r\n'),
      ]),
    );
  }

  function subscribe(subject: string, handler: (message: RawMessage) => void, queue = ''): void {
    next += 1;
    handlers.set(String(next), handler);
    socket.write(`SUB ${subject} ${queue} ${next}\r\n`);
  }

  /** Resolves when the server has taken everything sent so far. */
  function flush(): Promise<void> {
    const taken = Promise.withResolvers<void>();
    flushed.push(taken);
    if (socket.destroyed) taken.reject(new Error(`the server has closed the connection: ${complaint}`));
    socket.write('PING\r\n');
    return taken.promise;
  }

  socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\n');
  await flush();
  return {
    publish,
    subscribe,
    flush,
    /** What the server refused, if it did. */
    get complaint() {
      return complaint;
    },
    async [Symbol.asyncDispose]() {
      flushed.length = 0;
      socket.destroy();
    },
  };
}

export type RawNats = Awaited<ReturnType<typeof connectRawNats>>;
