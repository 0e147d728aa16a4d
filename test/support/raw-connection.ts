import { connect } from 'node:net';

/** A connection on which a test writes bytes as they are; `received` tells what has come back so far. */
export function openRawConnection(url: string) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  return { socket, received: () => received };
}
