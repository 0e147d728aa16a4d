import { setImmediate } from 'node:timers/promises';
import { connect, errors, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startNats } from '../support/nats-server.ts';
import { inRepository } from './support/repository.ts';

const config = inRepository('infra/nats/nats.conf');
const passwords = { edge: 'edge-test', expert: 'expert-test' };
const env = { NATS_EDGE_PASSWORD: passwords.edge, NATS_EXPERT_PASSWORD: passwords.expert };

type Role = keyof typeof passwords;

let server: Awaited<ReturnType<typeof startNats>>;
beforeAll(async () => {
  server = await startNats({ config, env });
});
afterAll(() => server?.stop());

/** A connection in a role that notes what the broker forbade it. */
async function join(user: Role) {
  const connection = await connect({ servers: server.url, user, pass: passwords[user], reconnect: false });
  const violations: { operation: string; subject: string }[] = [];
  const watching = (async () => {
    for await (const status of connection.status()) {
      if (status.type !== 'error') continue;
      const { error } = status;
      if (!(error instanceof errors.PermissionViolationError)) throw error;
      violations.push({ operation: error.operation, subject: error.subject });
    }
  })();
  return {
    connection,
    /** Everything forbidden so far: the broker answers in order, and has answered a ping by now. */
    async violations() {
      await connection.flush();
      await setImmediate();
      return violations;
    },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await watching;
    },
  };
}

function answer(connection: NatsConnection, subject: string, queue: string | undefined, reply: string) {
  connection.subscribe(subject, { queue, callback: (_, message) => void message?.respond(reply) });
}

describe('what the roles need', () => {
  test('an edge asks an expert and gets the reply', async () => {
    await using edge = await join('edge');
    await using expert = await join('expert');
    answer(expert.connection, 'ask.v1.expert.animals.classify', 'experts', 'fox');
    await expert.connection.flush();

    for (let round = 0; round < 3; round += 1) {
      const reply = await edge.connection.request('ask.v1.expert.animals.classify', 'image', { timeout: 2000 });
      expect(reply.string()).toBe('fox');
    }
    expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
  });

  test('an edge learns at once that an expert is absent', async () => {
    await using edge = await join('edge');
    const asked = edge.connection.request('ask.v1.expert.nobody.classify', 'image', { timeout: 2000 });
    await expect(asked).rejects.toMatchObject({ cause: expect.any(errors.NoRespondersError) });
    expect(await edge.violations()).toEqual([]);
  });

  test.each(
    ['PING', 'INFO', 'STATS'].flatMap((verb) => [
      `$SRV.${verb}`,
      `$SRV.${verb}.ask-expert`,
      `$SRV.${verb}.ask-expert.1`,
    ]),
  )('every expert of one process answers %s', async (subject) => {
    await using edge = await join('edge');
    await using expert = await join('expert');
    const experts = Array.from({ length: 20 }, (_, index) => `expert ${index}`);
    for (const name of experts) answer(expert.connection, subject, undefined, name);
    await expert.connection.flush();

    const replies = await edge.connection.requestMany(subject, '', {
      strategy: 'count',
      maxMessages: experts.length,
      maxWait: 2000,
    });
    const names: string[] = [];
    for await (const reply of replies) names.push(reply.string());
    expect(names.sort()).toEqual(experts.sort());
    expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
  });

  test('a payload of 1 MiB may pass, a greater one not', async () => {
    await using edge = await join('edge');
    expect(edge.connection.info?.max_payload).toBe(1024 * 1024);
  });
});

describe('what the roles may not do', () => {
  const publishing: { role: Role; subject: string }[] = [
    { role: 'edge', subject: '_INBOX.somebody.1' },
    { role: 'edge', subject: 'ask.v1.expert.classify' },
    { role: 'edge', subject: 'ask.v1.expert.animals.other' },
    { role: 'expert', subject: 'ask.v1.expert.animals.classify' },
    { role: 'expert', subject: '_INBOX.somebody.1' },
    { role: 'expert', subject: '$SRV.PING' },
  ];
  test.each(publishing)('$role publishing to $subject is a permission error', async ({ role, subject }) => {
    await using member = await join(role);
    member.connection.publish(subject, 'forged');
    expect(await member.violations()).toEqual([{ operation: 'publish', subject }]);
  });

  const subscribing: { role: Role; subject: string; queue?: string }[] = [
    { role: 'edge', subject: 'ask.v1.expert.animals.classify' },
    { role: 'edge', subject: 'ask.v1.expert.animals.classify', queue: 'experts' },
    { role: 'edge', subject: '$SRV.PING' },
    { role: 'edge', subject: '>' },
    { role: 'expert', subject: 'ask.v1.expert.animals.classify' },
    { role: 'expert', subject: 'ask.v1.expert.animals.classify', queue: 'others' },
    { role: 'expert', subject: 'ask.v1.>', queue: 'experts' },
    { role: 'expert', subject: '_INBOX.>' },
    { role: 'expert', subject: '>' },
  ];
  for (const { role, subject, queue } of subscribing) {
    const how = queue ? `in queue ${queue}` : 'without a queue';
    test(`${role} subscribing to ${subject} ${how} is a permission error`, async () => {
      await using member = await join(role);
      member.connection.subscribe(subject, { queue, callback: () => {} });
      expect(await member.violations()).toEqual([{ operation: 'subscription', subject }]);
    });
  }
});

describe('who may join', () => {
  test.each([
    { who: 'nobody', credentials: {} },
    { who: 'an edge with the password of the experts', credentials: { user: 'edge', pass: passwords.expert } },
    { who: 'an expert with an empty password', credentials: { user: 'expert', pass: '' } },
    { who: 'an unknown user', credentials: { user: 'admin', pass: passwords.edge } },
  ])('not $who', async ({ credentials }) => {
    const joined = connect({ servers: server.url, reconnect: false, ...credentials });
    await expect(joined).rejects.toThrow(errors.AuthorizationError);
  });

  test.each(Object.keys(env))('no broker starts without %s', async (name) => {
    vi.stubEnv(name, undefined);
    const { [name]: _, ...rest } = env as Record<string, string>;
    await expect(startNats({ config, env: rest })).rejects.toThrow();
    vi.unstubAllEnvs();
  });
});
