import { chmod, mkdir, mkdtempDisposable, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Container, startContainer } from '../support/infra/containers.ts';
import { buildImages, type Engine, findEngine, imageOf, type Service } from '../support/infra/images.ts';
import { findManifest, readManifests, type Workload } from '../support/infra/manifests.ts';
import { startNameServer } from '../support/infra/name-server.ts';
import { bytesOf, milliOf } from '../support/infra/quantities.ts';
import { inRepository, readText } from '../support/infra/repository.ts';
import { KEY, makeKeyFile } from '../support/key-file.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { postImage } from '../support/service.ts';
import { waitFor } from '../support/wait.ts';

const RESOLVER = '127.53.0.1';
/** Engines start containers slowly where other tests run. */
const LIMIT_MS = 60_000;
const BROKER = 'broker.test';
const passwords = { NATS_EDGE_PASSWORD: 'edge-test', NATS_EXPERT_PASSWORD: 'expert-test' };
const { engine, skipped } = findEngine();
const base = readManifests('infra/k3s/base');

/** Starts a service's image with the environment, the user and the limits of its manifest. */
async function startService(service: Service, folder: string, changed: Record<string, string>, keys?: string) {
  const { spec } = findManifest(base, service === 'edge' ? 'DaemonSet' : 'Deployment', service) as Workload;
  const [container] = spec.template.spec.containers;
  if (!container) throw new Error(`the manifest of the ${service} has no container`);
  return startContainer(engine as Engine, {
    image: imageOf(service),
    env: {
      ...Object.fromEntries(container.env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
      ASK_NATS_PASSWORD: `${service}-test`,
      ...changed,
    },
    mounts: {
      '/etc/resolv.conf': { source: join(folder, 'resolv.conf') },
      '/tmp': { source: join(folder, service), writable: true },
      ...(keys && { '/etc/ask-the-expert/api-keys/keys': { source: keys } }),
    },
    user: spec.template.spec.securityContext.runAsUser,
    cpus: milliOf(container.resources.limits.cpu) / 1000,
    memory: bytesOf(container.resources.limits.memory),
  });
}

async function makeFolder() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'ask-images-'));
  await writeFile(join(folder.path, 'resolv.conf'), `nameserver ${RESOLVER}\n`);
  for (const service of ['edge', 'expert']) {
    await mkdir(join(folder.path, service));
    await chmod(join(folder.path, service), 0o777);
  }
  return folder;
}

async function waitForLog(container: Container, text: string) {
  await waitFor(() => container.log().includes(text), text, LIMIT_MS).catch((error) => {
    throw new Error(`${error.message}; the log is:\n${container.log()}`);
  });
}

const { png } = JSON.parse(readText('models/default/golden.json')) as { png: string[] };
const pictures = png.map((base64) => Buffer.from(base64, 'base64'));

describe.skipIf(!engine)(`images: built by ${engine}${skipped}`, { timeout: 240_000 }, () => {
  beforeAll(() => buildImages(engine as Engine), 900_000);

  test('edge and expert answer together, write JSON alone, look up the broker alone, and stop drained', async () => {
    await using folder = await makeFolder();
    await using names = await startNameServer(RESOLVER, BROKER);
    await using keys = await makeKeyFile();
    await chmod(keys.folder, 0o755);
    await using nats = await startNats({ config: inRepository('infra/nats/nats.conf'), env: passwords });
    const [port, health] = [await freePort(), await freePort()];
    const broker = `nats://${BROKER}:${nats.port}`;
    await using expert = await startService('expert', folder.path, {
      NATS_URL: broker,
      ASK_HEALTH_PORT: String(health),
    });
    await using edge = await startService('edge', folder.path, { NATS_URL: broker, PORT: String(port) }, keys.path);
    await waitForLog(expert, 'experts are ready');
    await waitForLog(edge, '"msg":"ready"');
    await waitForLog(edge, 'connected to NATS');

    const url = `http://127.0.0.1:${port}`;
    const headers = { authorization: `Bearer ${KEY}` };
    const ask = (picture: Buffer) => postImage(url, picture, '?threshold=1&deadlineMs=60000', 'image/png', headers);
    const first = await ask(pictures[0] as Buffer);
    expect(first.body).toMatchObject({ route: 'expert', degraded: null });

    const asked = pictures.map(ask);
    await waitFor(async () => {
      const metrics = await (await fetch(`${url}/metrics`, { headers })).text();
      const lookups = [...metrics.matchAll(/^ask_cache_lookups_total\{.*\} (\d+)$/gm)].map(([, count]) =>
        Number(count),
      );
      return lookups.reduce((sum, count) => sum + count, 0) > asked.length;
    }, 'all pictures to be there');
    await edge.signal('TERM');
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(pictures.map(() => 200));
    expect(await edge.exited).toBe(0);
    await expert.signal('TERM');
    expect(await expert.exited).toBe(0);

    for (const [service, container] of Object.entries({ edge, expert })) {
      const lines = container.log().trimEnd().split('\n');
      const messages = lines.map((line) => JSON.parse(line).msg);
      expect(messages.slice(messages.indexOf('stopping'))).toContain('stopped');
      expect(await readdir(join(folder.path, service))).toEqual([]);
    }
    expect(names.asked()).toEqual([BROKER]);
  });

  test('TERM ends a container whose service does not listen for signals yet; orphans are reaped', async () => {
    await using folder = await makeFolder();
    const changed = { NATS_URL: 'nats://127.0.0.1:9', ASK_HEALTH_PORT: '0' };
    await using expert = await startService('expert', folder.path, changed);
    let orphan = '';
    await waitFor(
      async () => {
        orphan = await expert.execute('(sleep 0.1 & echo $!)').catch(() => '');
        return orphan !== '';
      },
      'the container to run',
      LIMIT_MS,
    );
    const isGone = `test ! -e /proc/${orphan.trim()} && echo gone || true`;
    await waitFor(async () => (await expert.execute(isGone)).includes('gone'), 'the orphan to be reaped');
    await using early = await startService('expert', folder.path, changed);
    await waitFor(
      () =>
        early.signal('TERM').then(
          () => true,
          () => false,
        ),
      'the container to take a signal',
      LIMIT_MS,
    );
    expect([0, 143], early.log()).toContain(await early.exited);
  });
});
