import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const HEADER = 12;
const ADDRESS = 1;

/** A name server at `host`, port 53, that knows one name, as 127.0.0.1, and notes all that it is asked for. */
export async function startNameServer(host: string, known: string) {
  const asked = new Set<string>();
  const socket = createSocket('udp4');
  socket.on('message', (question, { port, address }) => {
    const labels: string[] = [];
    let at = HEADER;
    for (let size = question[at]; size; size = question[at]) {
      labels.push(question.toString('latin1', at + 1, at + 1 + size));
      at += 1 + size;
    }
    const name = labels.join('.').toLowerCase();
    asked.add(name);
    const found = name === known;
    const answers = found && question.readUInt16BE(at + 1) === ADDRESS ? 1 : 0;
    const header = Buffer.from(question.subarray(0, HEADER));
    header.writeUInt16BE(found ? 0x8580 : 0x8583, 2);
    header.writeUInt16BE(answers, 6);
    header.writeUInt32BE(0, 8);
    const answer = [0xc0, HEADER, 0, ADDRESS, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1];
    const reply = [header, question.subarray(HEADER, at + 5), Buffer.from(answers ? answer : [])];
    socket.send(Buffer.concat(reply), port, address);
  });
  socket.bind(53, host);
  await once(socket, 'listening');
  return {
    asked: () => [...asked].sort(),
    [Symbol.asyncDispose]: () => new Promise<void>((closed) => socket.close(() => closed())),
  };
}
