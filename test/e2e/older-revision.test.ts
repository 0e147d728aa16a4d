import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../services/cli/migrate.ts';
import { startEdge } from '../../services/edge/service.ts';
import { strategies as shipped } from '../../services/edge/strategies/list.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { settingsKinds } from '../../shared/bundle/strategies.ts';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { readConfig } from '../../shared/settings/settings.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { checkOut, spawnFrom } from '../support/revision.ts';
import { postImage, waitForLog } from '../support/service.ts';
import { threeVoices } from '../support/three-voices.ts';
import {
  flatPng,
  makeTinyBundle,
  SURE_RED,
  type TinyBundle,
  UNSURE_COLD,
  UNSURE_WARM,
} from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

/** The last commit whose protocol and manifest knew pictures alone. */
const OLDER = 'c6565eb';
const ours = process.cwd();
const older = await checkOut(OLDER);
if (older === undefined) {
  process.stderr.write(`SKIPPED: this clone does not hold ${OLDER}; the tests against it do not run\n`);
}

describe.skipIf(older === undefined)('older revision: an edge and an expert of it work with those of today', () => {
  let bundle: TinyBundle; // in version 1 of the manifest
  let migrated: string;
  let nats: NatsServer;
  beforeAll(async () => {
    bundle = await makeTinyBundle();
    migrated = await mkdtemp(join(tmpdir(), 'ask-migrated-'));
    await cp(bundle.directory, migrated, { recursive: true });
    await migrate(migrated);
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
    await Promise.all([bundle.remove(), rm(migrated, { recursive: true })]);
  });

  const settings = (directory: string) => ({
    ASK_MODELS_DIR: directory,
    NATS_URL: nats.url,
    ASK_WORKERS: '1',
    ASK_CACHE_BYTES: '0',
    PORT: '0',
  });

  async function answers(edgeFolder: string, edgeBundle: string, expertFolder: string, expertBundle: string) {
    await using expert = spawnFrom(expertFolder, 'expert', settings(expertBundle));
    await waitForLog(expert, 'experts are ready');
    await using edge = spawnFrom(edgeFolder, 'edge', settings(edgeBundle));
    await waitForLog(edge, 'connected to NATS');
    await waitForLog(edge, '"msg":"ready"');
    const url = /"url":"([^"]+)","msg":"ready"/.exec(edge.log())?.[1] as string;
    const bodies = [];
    for (const colour of [SURE_RED, UNSURE_WARM, UNSURE_COLD]) {
      const { status, body } = await postImage(url, await flatPng(colour));
      const { label, index, confidence, topK, route, expert: answeredBy, degraded, decision } = body;
      bodies.push({ status, label, index, confidence, topK, route, answeredBy, degraded, value: decision.value });
    }
    return bodies;
  }

  test('the same answers whichever side is older', async () => {
    const before = await answers(older as string, bundle.directory, older as string, bundle.directory);
    expect(before.map(({ route, degraded }) => [route, degraded])).toEqual([
      ['edge', null],
      ['expert', null],
      ['expert', null],
    ]);
    expect(await answers(ours, migrated, older as string, bundle.directory)).toEqual(before);
    expect(await answers(older as string, bundle.directory, ours, migrated)).toEqual(before);
  }, 60_000);

  test('an older expert refuses tensors by code, and is sent the whole picture', async () => {
    await using expert = spawnFrom(older as string, 'expert', settings(bundle.directory));
    await waitForLog(expert, 'experts are ready');
    await using files = await makeTinyBundle({
      extend({ strategies }) {
        const voices = { kind: 'three-voices', here: 'generalist', tokens: 'warm', picture: 'cold' };
        Object.assign(strategies, { voices });
      },
    });
    const log = createLog('silent', 'test');
    const bus = connectNats({ servers: [nats.url], name: 'today', log });
    const config = readConfig(settings(files.directory));
    const kinds = { ...settingsKinds, [threeVoices.kind]: threeVoices.settings };
    const read = await loadBundle(files.directory, undefined, kinds);
    const edge = await startEdge({ bus, bundle: read, config, log, strategies: [...shipped, threeVoices] });
    await waitFor(() => bus.connected, 'the connection');
    const { status, body } = await postImage(edge.url, await flatPng(UNSURE_WARM), '?strategy=voices');
    await edge.stop();
    await bus.close();
    expect([status, body.degraded, body.route]).toEqual([200, null, 'expert']);
    const hops = body.hops.map(({ to, encoding }: { to: string; encoding: string }) => `${to} ${encoding}`);
    expect(hops.sort()).toEqual(['cold original', 'warm original', 'warm tensors']);
  }, 60_000);
});
