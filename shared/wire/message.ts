/** A message on the bus: bytes, and headers of one line each. */
export interface Message {
  payload: Uint8Array;
  headers: Record<string, string>;
}

/** Bytes of payload and headers as NATS writes them (`NATS/1.0`, one `key: value` a line, blank line). */
export function sizeOnBus(message: Message): number {
  let bytes = 'NATS/1.0\r\n\r\n'.length + message.payload.length;
  for (const [key, value] of Object.entries(message.headers)) bytes += key.length + 2 + value.length + 2;
  return bytes;
}
