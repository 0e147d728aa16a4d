import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

const sockets = new Set<Socket>();
const servers = new Set<Server>();

function join(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.on('data', () => {});
  sockets.add(socket);
  return socket;
}

const head = (length: number) =>
  `POST /classify HTTP/1.1\r\nhost: edge\r\ncontent-type: image/png\r\ncontent-length: ${length}\r\n\r\n`;

/** Crowds of connections that do no good; `disperse` ends them all. */
export const crowds = {
  /** Clients that connect and say nothing. */
  async silent(url: string, count: number): Promise<void> {
    const joined = Array.from({ length: count }, () => join(url));
    await Promise.all(joined.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
  },

  /** Clients whose picture comes a byte at a time. */
  slowBodies(url: string, count: number): void {
    for (let i = 0; i < count; i++) {
      const socket = join(url);
      socket.write(head(100_000));
      const drip = setInterval(() => socket.write('x'), 100);
      socket.on('close', () => clearInterval(drip));
    }
  },

  /** Clients that send a large body of nothing much, again and again. */
  largeBodies(url: string, count: number, bytes: number): void {
    const body = Buffer.alloc(bytes);
    for (let i = 0; i < count; i++) {
      const socket = join(url);
      const send = () => {
        if (socket.destroyed) return;
        socket.write(head(bytes));
        socket.write(body);
      };
      socket.on('data', () => setTimeout(send, 200));
      send();
    }
  },

  /** Address of an HTTP server that takes everything and never answers. */
  async blackHole(): Promise<string> {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      sockets.add(socket.resume());
    });
    servers.add(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  },

  async disperse(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await Promise.all([...servers].map((server) => new Promise((resolve) => server.close(resolve))));
    servers.clear();
  },
};
