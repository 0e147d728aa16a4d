import { expect, test } from 'vitest';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';

const always = (label: number) => ({
  rows: [0, 1, 2, 3].map((i): [number, number, number, number] => [0, 0, 0, i === label ? 8 : 0]),
});

test('mixed bundles: experts of the old and the new one answer, each its own edges', async () => {
  await using old = await makeTinyBundle();
  await using fresh = await makeTinyBundle({ models: { warm: always(3), cold: always(2) } });
  await using nats = await startNats();
  const env = (directory: string) => ({
    NATS_URL: nats.url,
    ASK_MODELS_DIR: directory,
    ASK_CACHE_BYTES: '0',
    ASK_WORKERS: '1',
  });
  await using one = spawnService('expert', env(old.directory));
  await using other = spawnService('expert', env(fresh.directory));
  await using edge = await spawnHttp('edge', env(old.directory));
  for (const expert of [one, other]) {
    await waitForLog(expert, 'experts are ready');
    await waitForLog(expert, 'connected to NATS');
  }
  await waitForLog(edge, 'connected to NATS');

  const image = await flatPng(UNSURE_WARM);
  const degraded: string[] = [];
  for (let i = 0; i < 40; i++) degraded.push((await postImage(edge.url, image)).body.degraded);
  // Ten times in a row the wrong one of two: once in a thousand.
  expect(degraded.filter((reason) => reason !== null).length).toBeLessThan(2);
  const { experts } = (await (await fetch(`${edge.url}/readyz`)).json()) as { experts: object };
  expect(experts).toMatchObject({
    warm: { instances: 1, circuit: 'closed' },
    cold: { instances: 1, circuit: 'closed' },
  });
});
