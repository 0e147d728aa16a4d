import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { EdgeMetrics } from '../../../shared/observe/edge-metrics.ts';
import type { Log } from '../../../shared/observe/log.ts';
import { AppError } from '../../../shared/request/errors.ts';
import { type Config, ConfigError } from '../../../shared/settings/settings.ts';
import { type KeyRing, openKeyRing } from './key-ring.ts';
import { createTokenBuckets } from './token-bucket.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * The keys that callers must have. Undefined if anyone may call: on loopback, or where the operator allows it. Throws
 * ConfigError.
 */
export async function openKeys(config: Config, log: Log): Promise<KeyRing | undefined> {
  const { HOST, ASK_API_KEYS_FILE: path, ASK_ALLOW_ANONYMOUS: anonymous } = config;
  if (path !== undefined) {
    if (anonymous) throw new ConfigError('ASK_ALLOW_ANONYMOUS=true contradicts ASK_API_KEYS_FILE: set one of them');
    return openKeyRing(path, log);
  }
  if (isLoopback(HOST)) return undefined;
  if (!anonymous) {
    throw new ConfigError(
      `HOST=${HOST} may let others in: set ASK_API_KEYS_FILE (npm run -s ask -- key NAME makes a key), or ` +
        'ASK_ALLOW_ANONYMOUS=true if anyone may call',
    );
  }
  log.warn({ host: HOST }, 'anyone may call: no API keys are asked for');
  return undefined;
}

/**
 * The `onRequest` hook that requires a key, except on routes whose schema says that they need none (`security: []`).
 */
export function createGuard(keys: KeyRing, metrics: EdgeMetrics) {
  const take = createTokenBuckets();
  return (request: FastifyRequest, _: unknown, done: () => void) => {
    if (request.routeOptions.schema?.security?.length === 0) return done();
    const key = presented(request.headers);
    if (key === undefined) throw new AppError('missing-key', "send 'authorization: Bearer KEY' or 'x-api-key: KEY'");
    const holder = keys.find(key);
    if (!holder) throw new AppError('unknown-key', 'the key is not one of those that may call');
    const { name, limit } = holder;
    const retryAfterMs = limit === undefined ? 0 : take(name, limit);
    metrics.keys.inc({ key: name, outcome: retryAfterMs > 0 ? 'rate-limited' : 'accepted' });
    if (retryAfterMs > 0) {
      throw new AppError('rate-limited', `the key '${name}' may be used ${limit} times a second`, { retryAfterMs });
    }
    done();
  };
}

function presented(headers: IncomingHttpHeaders): string | undefined {
  const own = headers['x-api-key'];
  if (own) return String(own);
  return /^bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}
