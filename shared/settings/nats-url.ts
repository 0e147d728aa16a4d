import { splitList } from './kinds.ts';

interface Address {
  server: string;
  user?: string;
  password?: string;
}

const FORM =
  'must be nats://host:port or tls://host:port, or several with commas; IPv6 in brackets, ' +
  'name and password percent-encoded or in ASK_NATS_USER and ASK_NATS_PASSWORD';

/** The servers in `NATS_URL`, normalised and without name and password. Throws Error saying what is wrong. */
export function readServers(list: string): string {
  return splitList(list)
    .map((address) => readAddress(address).server)
    .join(',');
}

/** Name and password in `NATS_URL`, by the settings they stand for; none if it is wrong in another way. */
export function readCredentials(list: string): {
  ASK_NATS_USER?: string;
  ASK_NATS_PASSWORD?: string;
  mistake?: string;
} {
  let addresses: Address[];
  try {
    addresses = splitList(list).map(readAddress);
  } catch {
    return {};
  }
  const [first, ...others] = addresses.filter(({ user }) => user !== undefined);
  if (first?.user === undefined) return {};
  if (others.some(({ user, password }) => user !== first.user || password !== first.password))
    return { mistake: 'NATS_URL: all addresses must have the same name and password' };
  return { ASK_NATS_USER: first.user, ASK_NATS_PASSWORD: first.password ?? '' };
}

function readAddress(address: string): Address {
  const [scheme, rest] = splitScheme(address);
  if (scheme === 'ws' || scheme === 'wss')
    throw new Error(`${scheme}:// is not spoken: give nats:// or tls:// and the port for clients, 4222 by default`);
  const url = URL.parse(`nats://${rest}`);
  const bare = url && /^\/*$/.test(url.pathname) && url.search === '' && url.hash === '';
  if (!['', 'nats', 'tls'].includes(scheme) || !bare || url.hostname === '' || url.port === '0' || /\s/.test(rest))
    throw new Error(FORM);
  const server = scheme === '' ? url.host : `${scheme}://${url.host}`;
  const userinfo = rest.slice(0, Math.max(0, rest.lastIndexOf('@')));
  if (userinfo === '') return { server };
  if (!userinfo.includes(':')) throw new Error('a token alone is not supported: give nats://name:password@host:port');
  return { server, user: decode(url.username), password: decode(url.password) };
}

function splitScheme(address: string): [string, string] {
  const end = address.indexOf('://');
  return end < 0 ? ['', address] : [address.slice(0, end).toLowerCase(), address.slice(end + 3)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(FORM);
  }
}
