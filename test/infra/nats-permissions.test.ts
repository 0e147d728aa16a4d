import { connect, errors, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Broker, type Role, shipped } from '../support/infra/brokers.ts';
import { answer, join } from '../support/infra/nats-member.ts';

describe.each(shipped)('broker permissions of $file', ({ variables, start }) => {
  let broker: Broker;
  beforeAll(async () => {
    broker = await start();
  });
  afterAll(() => broker?.stop());

  const joinAs = async (role: Role) => join(await broker.identity(role));

  describe('what roles need', () => {
    test('an edge asks an expert and gets the reply', async () => {
      await using edge = await joinAs('edge');
      await using expert = await joinAs('expert');
      answer(expert.connection, 'ask.v1.expert.animals.classify', 'experts', 'fox');
      await expert.connection.flush();

      for (let round = 0; round < 3; round += 1) {
        const reply = await edge.connection.request('ask.v1.expert.animals.classify', 'image', { timeout: 2000 });
        expect(reply.string()).toBe('fox');
      }
      expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
    });

    test('an edge cancels what it asked', async () => {
      await using edge = await joinAs('edge');
      await using expert = await joinAs('expert');
      const heard = Promise.withResolvers<string>();
      expert.connection.subscribe('ask.v1.expert.animals.cancel', {
        callback: (_, message) => heard.resolve(message.string()),
      });
      await expert.connection.flush();
      edge.connection.publish('ask.v1.expert.animals.cancel', 'the picture of a fox');
      expect(await heard.promise).toBe('the picture of a fox');
      expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
    });

    test('an edge learns at once that an expert is absent', async () => {
      await using edge = await joinAs('edge');
      const asked = edge.connection.request('ask.v1.expert.nobody.classify', 'image', { timeout: 2000 });
      await expect(asked).rejects.toMatchObject({ cause: expect.any(errors.NoRespondersError) });
      expect(await edge.violations()).toEqual([]);
    });

    test('every expert of one process answers the question which experts there are', async () => {
      await using edge = await joinAs('edge');
      await using expert = await joinAs('expert');
      const experts = Array.from({ length: 20 }, (_, index) => `expert ${index}`);
      for (const name of experts) answer(expert.connection, '$SRV.PING.ask-expert', undefined, name);
      await expert.connection.flush();

      const replies = await edge.connection.requestMany('$SRV.PING.ask-expert', '', {
        strategy: 'count',
        maxMessages: experts.length,
        maxWait: 2000,
      });
      const names: string[] = [];
      for await (const reply of replies) names.push(reply.string());
      expect(names.sort()).toEqual(experts.sort());
      expect([...(await edge.violations()), ...(await expert.violations())]).toEqual([]);
    });

    test('an expert listens to all of discovery', async () => {
      await using expert = await joinAs('expert');
      for (const verb of ['PING', 'INFO', 'STATS'])
        for (const suffix of ['', '.ask-expert', '.ask-expert.1'])
          expert.connection.subscribe(`$SRV.${verb}${suffix}`, { callback: () => {} });
      expect(await expert.violations()).toEqual([]);
    });

    test('a payload of 1 MiB may pass, a greater one not', async () => {
      await using edge = await joinAs('edge');
      expect(edge.connection.info?.max_payload).toBe(1024 * 1024);
    });
  });

  describe('what roles may not do', () => {
    const publishing: { role: Role; subject: string }[] = [
      { role: 'edge', subject: '_INBOX_edge.somebody.1' },
      { role: 'edge', subject: 'ask.v1.expert.classify' },
      { role: 'edge', subject: 'ask.v1.expert.animals.other' },
      { role: 'edge', subject: '$SRV.PING' },
      { role: 'edge', subject: '$SRV.STATS.ask-expert' },
      { role: 'expert', subject: 'ask.v1.expert.animals.classify' },
      { role: 'expert', subject: 'ask.v1.expert.animals.cancel' },
      { role: 'expert', subject: '_INBOX_edge.somebody.1' },
      { role: 'expert', subject: '$SRV.PING.ask-expert' },
    ];
    test.each(publishing)('$role publishing to $subject is a permission error', async ({ role, subject }) => {
      await using member = await joinAs(role);
      member.connection.publish(subject, 'forged');
      expect(await member.violations()).toEqual([{ operation: 'publish', subject }]);
    });

    const subscribing: { role: Role; subject: string; queue?: string }[] = [
      { role: 'edge', subject: 'ask.v1.expert.animals.classify' },
      { role: 'edge', subject: 'ask.v1.expert.animals.classify', queue: 'experts' },
      { role: 'edge', subject: '$SRV.PING.ask-expert' },
      { role: 'edge', subject: '_INBOX.>' },
      { role: 'edge', subject: '_INBOX_other.>' },
      { role: 'edge', subject: '>' },
      { role: 'expert', subject: 'ask.v1.expert.animals.classify' },
      { role: 'expert', subject: 'ask.v1.expert.animals.classify', queue: 'others' },
      { role: 'expert', subject: 'ask.v1.>', queue: 'experts' },
      { role: 'expert', subject: '$SRV.>' },
      { role: 'expert', subject: '$SRV.*' },
      { role: 'expert', subject: '$SRV.PING.>' },
      { role: 'expert', subject: '$SRV.PING.other' },
      { role: 'expert', subject: '_INBOX_edge.>' },
      { role: 'expert', subject: '>' },
    ];
    for (const { role, subject, queue } of subscribing) {
      const how = queue ? `in queue ${queue}` : 'without a queue';
      test(`${role} subscribing to ${subject} ${how} is a permission error`, async () => {
        await using member = await joinAs(role);
        member.connection.subscribe(subject, { queue, callback: () => {} });
        expect(await member.violations()).toEqual([{ operation: 'subscription', subject }]);
      });
    }

    test('an expert may answer a request, and only where the request says', async () => {
      await using edge = await joinAs('edge');
      await using expert = await joinAs('expert');
      expert.connection.subscribe('ask.v1.expert.animals.classify', {
        queue: 'experts',
        callback: (_, message) => {
          message.respond('fox');
          expert.connection.publish(`${message.reply}.more`, 'forged');
        },
      });
      await expert.connection.flush();
      await edge.connection.request('ask.v1.expert.animals.classify', 'image', { timeout: 2000 });
      expect(await expert.violations()).toEqual([
        { operation: 'publish', subject: expect.stringMatching(/^_INBOX_edge\..*\.more$/) },
      ]);
    });
  });

  test.each(variables)('no broker starts without %s', async (name) => {
    vi.stubEnv(name, undefined);
    await expect(start(name)).rejects.toThrow(name);
    vi.unstubAllEnvs();
  });

  const strangers: [string, object][] = [
    ['nobody', {}],
    ['an edge with the password of the experts', { user: 'edge', pass: 'expert-test' }],
    ['an expert with an empty password', { user: 'expert', pass: '' }],
    ['an unknown user', { user: 'admin', pass: 'edge-test' }],
    ['an unknown key', { authenticator: nkeyAuthenticator(nkeys.createUser().getSeed()) }],
  ];
  test.each(strangers)('%s may not join', async (_, credentials) => {
    const { servers, tls } = await broker.identity('edge');
    const joined = connect({ servers, ...(tls && { tls }), reconnect: false, ...credentials });
    await expect(joined).rejects.toThrow(errors.AuthorizationError);
  });
});
