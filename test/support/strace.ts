import { readFile } from 'node:fs/promises';

/** What of a process and its descendants is to be watched: addresses, and files that are made or written. */
export const WATCHED =
  'trace=socket,connect,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2';

export interface Deeds {
  /** Connections and messages to internet addresses, e.g. `127.0.0.1:53`. */
  addresses: string[];
  /** Files and folders opened to be written, or made. */
  written: string[];
}

/** Reads what `strace -f -o FILE` has seen. */
export async function readDeeds(file: string): Promise<Deeds> {
  const addresses = new Set<string>();
  const written = new Set<string>();
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    const address = /sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"/.exec(line);
    if (address) addresses.add(`${address[2]}:${address[1]}`);
    const path = /^\d+ +(\w+)\([^"]*"([^"]+)"(.*)/.exec(line);
    if (!path) continue;
    const [, call, name, rest] = path as unknown as [string, string, string, string];
    if (/^(creat|mkdir|rename)/.test(call) || /O_CREAT|O_WRONLY|O_RDWR/.test(rest)) written.add(name);
  }
  return { addresses: [...addresses], written: [...written] };
}
