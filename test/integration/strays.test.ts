import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { startEdge } from '../../services/edge/service.ts';
import { startExpert } from '../../services/expert/service.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { keepLines } from '../support/log-lines.ts';
import { makeFolder } from '../support/nats-identity.ts';
import { startNats } from '../support/nats-server.ts';
import { postImage } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_COLD, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const STRAY = 'a reply that is no answer is passed over';

/**
 * Edge and experts on a broker whose JetStream stores what is sent to `subjects`, and acknowledges it to the sender.
 */
async function startStored(subjects: string[], experts: string | null) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await makeFolder());
  const files = stack.use(await makeTinyBundle());
  const nats = stack.use(await startNats({ args: ['-js', '-sd', folder.path] }));
  const owner = await connect({ servers: nats.url });
  for (const [i, subject] of subjects.entries()) {
    const stream = { name: `X${i}`, subjects: [subject], storage: 'memory', retention: 'limits' };
    const created = await owner.request(`$JS.API.STREAM.CREATE.X${i}`, JSON.stringify(stream), { timeout: 5000 });
    expect(created.json()).not.toHaveProperty('error');
  }
  await owner.close();
  const { log, of } = keepLines();
  const silent = createLog('silent', 'test');
  const [asker, answerer] = [log, silent].map((log) => connectNats({ servers: [nats.url], name: 'test', log }));
  if (!asker || !answerer) throw new Error('no bus');
  stack.defer(async () => {
    await Promise.all([asker.close(), answerer.close()]);
  });
  await Promise.all([asker.opened, answerer.opened]);
  const env = { PORT: '0', ASK_WORKERS: '1', ASK_CACHE_BYTES: '0', ASK_SECOND_CHOICE: 'false' };
  const config = readConfig({ ...env, ASK_MODELS_DIR: files.directory, ...(experts && { ASK_EXPERTS: experts }) });
  const bundle = await loadBundle(files.directory);
  if (experts) {
    const expert = await startExpert({ bus: answerer, bundle, config, log: silent });
    stack.defer(() => expert.stop());
    await answerer.flush();
  }
  const edge = await startEdge({ bus: asker, bundle, config, log });
  stack.defer(() => edge.stop());
  const running = stack.move();
  return { url: edge.url, of, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

test('bus: a JetStream stream’s acknowledgement is no answer; the expert’s is, the log warns once', async () => {
  await using system = await startStored(['ask.>'], 'warm,cold');
  const image = await flatPng(UNSURE_WARM);
  for (let i = 0; i < 5; i++) {
    const { body } = await postImage(system.url, image);
    expect(body).toMatchObject({ label: 'grey', route: 'expert', expert: 'warm', degraded: null });
  }
  expect(system.of(STRAY)).toMatchObject([
    { level: 40, subject: 'ask.v1.expert.warm.classify', reply: expect.stringContaining('"stream"') },
  ]);
  expect(String(system.of(STRAY)[0]?.cause)).toContain('JetStream');
});

test('bus: an acknowledged question nobody answers times out, opens the circuit, then is free', async () => {
  await using system = await startStored(['ask.>'], 'warm');
  const image = await flatPng(UNSURE_COLD);
  const degraded = async () => (await postImage(system.url, image, '?deadlineMs=600')).body.degraded;
  expect([await degraded(), await degraded(), await degraded()]).toEqual(Array(3).fill('timeout'));
  expect(await degraded()).toBe('circuit-open');
  expect(system.of('an expert is not asked any more, but for probes')).toMatchObject([
    { expert: 'cold', state: 'open', reason: 'timeout' },
  ]);
});

test('bus: a stream over discovery is passed over, too', async () => {
  await using system = await startStored(['$SRV.>'], 'warm,cold');
  const experts = async () => ((await (await fetch(`${system.url}/readyz`)).json()) as { missing: string[] }).missing;
  await waitFor(async () => (await experts()).length === 0, 'both experts to be seen');
});
