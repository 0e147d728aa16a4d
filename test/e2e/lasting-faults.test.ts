import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const count = (text: string, part: string) => text.split(part).length - 1;

test.each(['edge', 'expert'] as const)(
  'log: a broker that is away at the start is one line, its arrival another: %s',
  async (name) => {
    await using bundle = await makeTinyBundle();
    let attempts = 0;
    const nobody = createServer((socket) => {
      attempts += 1;
      socket.on('error', () => {}).destroy();
    });
    await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
    const { port } = nobody.address() as { port: number };
    const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: `nats://127.0.0.1:${port}`, ASK_WORKERS: '1', PORT: '0' };
    await using service = spawnService(name, env);
    await waitFor(() => attempts >= 5, 'five attempts');
    expect(count(service.log(), 'no connection to NATS')).toBe(1);
    await new Promise((resolve) => nobody.close(resolve));
    await using nats = await startNats({ port });
    expect(nats.port).toBe(port);
    await waitForLog(service, 'connected to NATS');
  },
);

test('log: an expert that goes and comes back, and escalations that all fail, are a line each', async () => {
  await using bundle = await makeTinyBundle();
  await using nats = await startNats();
  const env = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ASK_CACHE_BYTES: '0' };
  await using expert = spawnService('expert', env);
  await waitForLog(expert, 'experts are ready');
  await using edge = await spawnHttp('edge', env);
  await waitForLog(edge, 'connected to NATS');
  const image = await flatPng(UNSURE_WARM);
  const ask = async () => (await postImage(edge.url, image)).body.degraded;
  await waitFor(async () => (await ask()) === null, 'the expert');
  expert.kill('SIGKILL');
  await expert.exited;
  await waitFor(async () => {
    await ask();
    return edge.log().includes('every escalation fails');
  }, 'the line that every escalation fails');
  await using second = spawnService('expert', env);
  await waitForLog(second, 'experts are ready');
  await waitFor(async () => (await ask()) === null, 'the expert to be asked again');
  await waitForLog(edge, 'escalations are answered again');
  const lines = edge
    .log()
    .split('\n')
    .filter((line) => /"level":[4-6]0/.test(line));
  const told = lines.map((line) => JSON.parse(line)).map(({ msg, expert, reason }) => [msg, expert, reason]);
  expect(told).toEqual([
    ['an expert did not answer', 'warm', 'no-responders'],
    ['an expert is not asked any more, but for probes', 'warm', 'no-responders'],
    ['every escalation fails: the generalist answers alone', undefined, expect.stringMatching(/absent|no-responders/)],
  ]);
  expect(edge.log()).toContain('an expert answers again');
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  expect(metrics).toMatch(/ask_expert_circuit_openings_total\{expert="warm",reason="no-expert"\} 1/);
  expect(metrics).toMatch(/ask_escalation_failures_total\{reason="absent"\} [1-9]/);
  expect(metrics).toMatch(/ask_escalation_failures_total\{reason="no-responders"\} [1-9]/);
});
