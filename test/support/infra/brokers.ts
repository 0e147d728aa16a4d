import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ConnectionOptions, nkeyAuthenticator } from '@nats-io/transport-node';
import { makeCertificate, makeFolder, makeNkey } from '../nats-identity.ts';
import { type NatsServer, startNats } from '../nats-server.ts';
import { inRepository } from './repository.ts';

export const roles = ['edge', 'expert'] as const;
export type Role = (typeof roles)[number];

export interface Broker {
  server: NatsServer;
  /** What a client needs to join in this role. */
  identity(role: Role): Promise<ConnectionOptions>;
  stop(): Promise<void>;
}

export interface Shipped {
  file: string;
  /** Variables that it does not start without. */
  variables: string[];
  start(without?: string): Promise<Broker>;
}

const except = (env: Record<string, string>, without: string | undefined) =>
  Object.fromEntries(Object.entries(env).filter(([name]) => name !== without));

const passwords = { NATS_EDGE_PASSWORD: 'edge-test', NATS_EXPERT_PASSWORD: 'expert-test' };

/** Both broker configurations of `infra/nats`. */
export const shipped: Shipped[] = [
  {
    file: 'nats.conf',
    variables: Object.keys(passwords),
    async start(without) {
      const server = await startNats({
        config: inRepository('infra/nats/nats.conf'),
        env: except(passwords, without),
      });
      const identity = async (role: Role) => ({ servers: server.url, user: role, pass: `${role}-test` });
      return { server, identity, stop: server.stop };
    },
  },
  {
    file: 'nats-tls.conf',
    variables: ['NATS_EDGE_NKEY', 'NATS_EXPERT_NKEY', 'NATS_TLS_CERT', 'NATS_TLS_KEY'],
    async start(without) {
      const folder = await makeFolder();
      const keys = await makeIdentities(folder.path);
      const server = await startSecure(keys, { without }).catch(async (error) => {
        await folder[Symbol.asyncDispose]();
        throw error;
      });
      const stop = async () => {
        await server.stop();
        await folder[Symbol.asyncDispose]();
      };
      const identity = async (role: Role) => ({
        servers: server.url.replace('127.0.0.1', 'localhost'),
        tls: { caFile: keys.ca },
        authenticator: nkeyAuthenticator(await readFile(keys.seeds[role])),
      });
      return { server, identity, stop };
    },
  },
];

export interface Identities {
  /** Path of the certificate of the CA. */
  ca: string;
  /** Paths of the seeds. */
  seeds: Record<Role, string>;
  /** What `nats-tls.conf` takes from its environment. */
  env: Record<string, string>;
}

/** A CA, a certificate for this machine, and an NKey for each role. */
export async function makeIdentities(folder: string): Promise<Identities> {
  const { ca, cert, key } = await makeCertificate(folder, '127.0.0.1', 'localhost');
  const seeds = { edge: join(folder, 'edge.nk'), expert: join(folder, 'expert.nk') };
  return {
    ca,
    seeds,
    env: {
      NATS_EDGE_NKEY: await makeNkey(seeds.edge),
      NATS_EXPERT_NKEY: await makeNkey(seeds.expert),
      NATS_TLS_CERT: cert,
      NATS_TLS_KEY: key,
    },
  };
}

/** A broker from the shipped `nats-tls.conf`. */
export function startSecure(
  { env }: Identities,
  options: { port?: number; without?: string | undefined } = {},
): Promise<NatsServer> {
  const { port, without } = options;
  return startNats({
    config: inRepository('infra/nats/nats-tls.conf'),
    env: except(env, without),
    ...(port !== undefined && { port }),
  });
}
