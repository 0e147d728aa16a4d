import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { readCertificates } from '../../shared/settings/certificates.ts';
import type { Config } from '../../shared/settings/settings.ts';
import type { Remote } from './remote.ts';
import { InputError, UsageError } from './usage.ts';

export interface RemoteOptions {
  url?: string;
  ca?: string;
  keyFile?: string;
  timeout?: string;
}

const TIMEOUT_S = 30;

/**
 * The service that `--url` names; undefined without. Warns if the key could be read in transit. Throws UsageError and
 * InputError.
 */
export async function toRemote(
  options: RemoteOptions,
  query: URLSearchParams,
  config: Config,
): Promise<Remote | undefined> {
  const { url, ca, keyFile, timeout = String(TIMEOUT_S) } = options;
  if (url === undefined) {
    const needless = Object.entries({ '--ca': ca, '--key-file': keyFile, '--timeout': options.timeout });
    for (const [name, value] of needless) if (value !== undefined) throw new UsageError(`${name} needs --url`);
    return undefined;
  }
  const address = toAddress(url, query);
  const timeoutMs = 1000 * Number(timeout);
  if (!(timeoutMs > 0 && timeoutMs < 2 ** 31))
    throw new UsageError(`--timeout ${timeout} is not a number of seconds above 0`);
  if (ca !== undefined) {
    if (!address.startsWith('https:')) throw new UsageError('--ca needs an https:// address in --url');
    await trustAlso(ca);
  }
  const key = keyFile === undefined ? config.ASK_API_KEY : await readKeyFile(keyFile);
  if (key !== undefined && isExposed(address)) {
    process.stderr.write(`warning: the API key travels readable to ${new URL(address).host}; https:// hides it\n`);
  }
  return { address, key, timeoutMs };
}

/** `--url`, with or without the path that pictures are posted to -> that address. Throws UsageError. */
export function toAddress(url: string, query: URLSearchParams): string {
  const parsed = /^https?:\/\//i.test(url) ? URL.parse(url) : null;
  if (!parsed) {
    const shown = url.replace(/[^/]*@/, ''); // it may hold a password
    throw new UsageError(`--url ${shown} must be http://HOST:PORT or https://HOST:PORT`);
  }
  if (parsed.username || parsed.password) {
    throw new UsageError('--url takes no user and password; a key goes into ASK_API_KEY or --key-file');
  }
  if (parsed.search || parsed.hash) throw new UsageError(`--url ${url} must end with the host, the port or a path`);
  return `${parsed.origin}${parsed.pathname.replace(/(\/classify)?\/*$/, '')}/classify?${query}`;
}

/** Trusts the certificates in a PEM file as well as Node's own. Throws InputError. */
async function trustAlso(file: string): Promise<void> {
  const pem = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InputError(`--ca ${file} cannot be read: ${error.message}`);
  });
  try {
    setDefaultCACertificates([...getCACertificates('default'), ...readCertificates(pem).map(String)]);
  } catch (error) {
    throw new InputError(`--ca ${file} must hold certificates in PEM: ${(error as Error).message}`);
  }
}

/** Throws InputError, which never shows the file's content. */
async function readKeyFile(file: string): Promise<string> {
  const content = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InputError(`--key-file ${file} cannot be read: ${error.message}`);
  });
  const key = content.trim();
  if (!/^[!-~]+$/.test(key)) throw new InputError(`--key-file ${file} must hold one API key and nothing else`);
  return key;
}

/** Whether data sent there could be read in transit. */
function isExposed(address: string): boolean {
  const { protocol, hostname } = new URL(address);
  const host = hostname.replace(/^\[|\]$/g, '');
  const loopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
  return protocol === 'http:' && !loopback;
}
