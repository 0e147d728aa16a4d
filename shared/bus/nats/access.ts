import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import {
  type Authenticator,
  type ConnectionOptions,
  credsAuthenticator,
  nkeyAuthenticator,
  nkeys,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import type { Log } from '../../observe/log.ts';
import { rateLimited } from '../../observe/rate-limited-log.ts';
import { readCertificates } from '../../settings/certificates.ts';
import { type Config, ConfigError } from '../../settings/settings.ts';

/** How a process and the NATS server authenticate to each other. */
export type NatsAccess = Pick<ConnectionOptions, 'authenticator' | 'inboxPrefix' | 'tls'>;

/** The settings that name files. Neither content nor value is ever shown: people paste secrets there. */
type FileSetting = 'ASK_NATS_CA' | 'ASK_NATS_CERT' | 'ASK_NATS_CREDS' | 'ASK_NATS_KEY' | 'ASK_NATS_NKEY_FILE';

/**
 * Checks every file that the settings name; throws ConfigError listing those that cannot be used. Each connection reads
 * them again, so that a key or a certificate can be replaced while the service runs.
 */
export function openNatsAccess(config: Config, log: Log): NatsAccess {
  const mistakes: string[] = [];
  const usable = (name: FileSetting, check: (bytes: Buffer) => unknown, otherwise: string) => {
    if (config[name] === undefined) return false;
    try {
      check(readFileSync(config[name]));
      return true;
    } catch (error) {
      mistakes.push(`  ${name}: ${reasonOf(error, otherwise)}`);
      return false;
    }
  };

  usable('ASK_NATS_CA', certificatesIn, 'the file holds no PEM certificates');
  const certified = usable('ASK_NATS_CERT', certificatesIn, 'the file holds no PEM certificate');
  const keyed = usable('ASK_NATS_KEY', createPrivateKey, 'the file holds no PEM key without a passphrase');
  if (certified && keyed && !belongTogether(config.ASK_NATS_CERT as string, config.ASK_NATS_KEY as string))
    mistakes.push('  ASK_NATS_CERT, ASK_NATS_KEY: the key is not that of the certificate');

  const identities: [FileSetting, (bytes: Uint8Array) => Authenticator, string][] = [
    ['ASK_NATS_NKEY_FILE', fromSeedFile, "the file holds no user's seed (SU...)"],
    ['ASK_NATS_CREDS', fromCredentials, 'the file holds no NATS credentials'],
  ];
  let authenticator: Authenticator | undefined;
  if (config.ASK_NATS_USER !== undefined)
    authenticator = usernamePasswordAuthenticator(config.ASK_NATS_USER, config.ASK_NATS_PASSWORD ?? '');
  for (const [name, make, otherwise] of identities) {
    if (usable(name, make, otherwise)) authenticator = rereading(name, config[name] as string, make, otherwise, log);
  }
  if (mistakes.length > 0)
    throw new ConfigError(`access to NATS has ${mistakes.length} mistake(s):\n${mistakes.join('\n')}`);
  return {
    inboxPrefix: config.ASK_NATS_INBOX,
    ...(authenticator && { authenticator }),
    ...(config.NATS_URL.startsWith('tls://') && { tls: tlsOptions(config) }),
  };
}

/** The client closes the connection for good if an authenticator throws, so a bad file must not get that far. */
function rereading(
  name: FileSetting,
  path: string,
  make: (bytes: Uint8Array) => Authenticator,
  otherwise: string,
  log: Log,
): Authenticator {
  let last = make(readFileSync(path));
  const say = rateLimited(log);
  return (nonce) => {
    try {
      last = make(readFileSync(path));
    } catch (error) {
      const reason = reasonOf(error, otherwise);
      say('warn', reason, { setting: name, reason }, 'its former content is used');
    }
    return last(nonce);
  };
}

function fromSeedFile(bytes: Uint8Array): Authenticator {
  const seed = Buffer.from(/^SU[A-Z2-7]{56}$/m.exec(Buffer.from(bytes).toString())?.[0] ?? '');
  nkeys.fromSeed(seed);
  return nkeyAuthenticator(seed);
}

function fromCredentials(bytes: Uint8Array): Authenticator {
  const authenticator = credsAuthenticator(bytes);
  authenticator('a first challenge');
  return authenticator;
}

function tlsOptions(config: Config): NatsAccess['tls'] {
  const hosts = config.NATS_URL.split(',').map((address) => new URL(address).hostname.replace(/^\[|\]$/g, ''));
  const options = {
    ...(config.ASK_NATS_CA && { caFile: config.ASK_NATS_CA }),
    ...(config.ASK_NATS_CERT && { certFile: config.ASK_NATS_CERT, keyFile: config.ASK_NATS_KEY }),
    // The client does not pass on a numeric address, and Node then expects a certificate for 'localhost'.
    checkServerIdentity(_: string, certificate: PeerCertificate) {
      const errors = hosts.map((host) => checkServerIdentity(host, certificate));
      return errors.includes(undefined) ? undefined : errors[0];
    },
  };
  return options;
}

const certificatesIn = (bytes: Buffer) => readCertificates(bytes.toString());

function belongTogether(certFile: string, keyFile: string): boolean {
  const [certificate] = certificatesIn(readFileSync(certFile));
  return certificate?.checkPrivateKey(createPrivateKey(readFileSync(keyFile))) === true;
}

/**
 * Node's code for a file that cannot be read, or what is wrong with its content. Never a parser's message, which may
 * quote the file.
 */
function reasonOf(error: unknown, otherwise: string): string {
  const { syscall, code } = error as NodeJS.ErrnoException;
  return syscall ? `the file cannot be read (${code})` : otherwise;
}
