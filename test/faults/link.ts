import { connect, createServer, type Socket } from 'node:net';

/** How bytes travel, both ways, from now on. */
export interface LinkState {
  delayMs: number;
  bytesPerSecond: number;
  /** Probability that a piece is lost: it and what follows it come only when it has been sent again. */
  loss: number;
  /** Nothing gets through, and nobody is told: a cable pulled out. */
  stalled: boolean;
}

const PERFECT: LinkState = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, loss: 0, stalled: false };
const RETRANSMIT_MS = 200; // Linux' least retransmission timeout

/** A TCP proxy on a free port that behaves like a bad network: `tc netem` needs privileges that CI may not have. */
export async function startLink(targetPort: number) {
  const state = { ...PERFECT };
  const sockets = new Set<Socket>();
  let healed = 0; // what was put off before then is off no more

  function forward(from: Socket, to: Socket): void {
    const pieces: { bytes: Buffer; came: number; due: number }[] = [];
    let latest = 0; // when the last piece came, and
    let free = 0; // when it has left
    let pumping = false;
    const again = (milliseconds: number) => {
      pumping = true;
      setTimeout(pump, milliseconds);
    };
    const pump = () => {
      pumping = false;
      while (pieces.length > 0 && !state.stalled) {
        const [{ bytes, came, due }] = pieces as [(typeof pieces)[number]];
        const wait = came < healed ? 0 : due - performance.now();
        if (wait > 0) return again(Math.min(wait, 10));
        pieces.shift();
        if (to.writable) to.write(bytes);
      }
      if (pieces.length > 0) again(10);
    };
    from.on('data', (bytes: Buffer) => {
      const came = performance.now();
      const lost = Math.random() < state.loss ? RETRANSMIT_MS : 0;
      const begins = latest < healed ? came : Math.max(free, came);
      latest = came;
      free = begins + lost + (1000 * bytes.length) / state.bytesPerSecond;
      pieces.push({ bytes, came, due: free + state.delayMs });
      if (!pumping) again(0);
    });
    from.on('error', () => {});
    const end = () => (state.stalled ? setTimeout(end, 10) : to.destroy()); // nor does the end of a connection
    from.on('close', () => {
      sockets.delete(from);
      setTimeout(end, state.delayMs);
    });
  }

  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    for (const socket of [near, far]) sockets.add(socket.setNoDelay(true));
    forward(near, far);
    forward(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `nats://127.0.0.1:${port}`,
    set: (change: Partial<LinkState>) => void Object.assign(state, change),
    heal: () => {
      Object.assign(state, PERFECT);
      healed = performance.now();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type Link = Awaited<ReturnType<typeof startLink>>;
