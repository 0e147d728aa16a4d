import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

const head = (length: number) =>
  `POST /classify HTTP/1.1\r\nhost: edge\r\ncontent-type: image/png\r\ncontent-length: ${length}\r\n\r\n`;

/** Crowds of connections to a server that do it no good; `disperse` ends them all. */
export function createCrowds(url: string) {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();

  function join(): Socket {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.on('data', () => {});
    sockets.add(socket);
    return socket;
  }

  return {
    /** Clients that connect and say nothing. */
    async silent(count: number): Promise<void> {
      const joined = Array.from({ length: count }, join);
      await Promise.all(joined.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    },

    /** Clients whose picture comes a byte at a time. */
    slowBodies(count: number): void {
      for (let i = 0; i < count; i++) {
        const socket = join();
        socket.write(head(100_000));
        const drip = setInterval(() => socket.write('x'), 100);
        socket.on('close', () => clearInterval(drip));
      }
    },

    /** Clients that send a large body of nothing much, again and again. */
    largeBodies(count: number, bytes: number): void {
      const body = Buffer.alloc(bytes);
      for (let i = 0; i < count; i++) {
        const socket = join();
        const send = () => {
          if (socket.destroyed) return;
          socket.write(head(bytes));
          socket.write(body);
        };
        socket.on('data', () => setTimeout(send, 200));
        send();
      }
    },

    async disperse(): Promise<void> {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
  };
}

/** An HTTP server that takes everything and never answers. */
export async function startBlackHole() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    sockets.add(socket.resume());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
