import { once } from 'node:events';
import { appendFile, open } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { failedStart } from '../support/failed-start.ts';
import { makeKeyFile } from '../support/key-file.ts';
import { freePort, startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import {
  flatPng,
  makeTinyBundle,
  SURE_RED,
  type TinyBundle,
  UNSURE_COLD,
  UNSURE_WARM,
} from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const environment = (bundle: TinyBundle, natsUrl: string) => ({
  ASK_MODELS_DIR: bundle.directory,
  NATS_URL: natsUrl,
  ASK_WORKERS: '1',
  ASK_CACHE_BYTES: '0',
});

async function instancesOf(url: string): Promise<Record<string, { instances: number }>> {
  return ((await (await fetch(`${url}/readyz`)).json()) as { experts: Record<string, { instances: number }> }).experts;
}

/** Answers without what differs from one to the next, and how pictures travelled, which differs within a process. */
function comparable(body: Record<string, unknown>) {
  const { id: _, timings: __, traceId: ___, bytesSent: ____, encoding: _____, hops: ______, ...rest } = body;
  return rest;
}

describe('processes: edge and experts on a real nats-server', () => {
  test('give the same answers as the whole system in one process', async () => {
    await using bundle = await makeTinyBundle();
    await using nats = await startNats();
    const env = environment(bundle, nats.url);
    await using warm = spawnService('expert', { ...env, ASK_EXPERTS: 'warm' });
    await using cold = spawnService('expert', { ...env, ASK_EXPERTS: 'cold' });
    await Promise.all([warm, cold].map((expert) => waitForLog(expert, 'experts are ready')));
    await using edge = await spawnHttp('edge', env);
    await using local = await spawnHttp('local', env);
    await waitForLog(edge, 'connected to NATS');
    await waitForLog(local, 'experts are ready');
    for (const colour of [SURE_RED, UNSURE_WARM, UNSURE_COLD]) {
      const image = await flatPng(colour);
      const [apart, together] = await Promise.all([edge, local].map(({ url }) => postImage(url, image)));
      expect(apart?.status).toBe(200);
      expect(comparable(apart?.body)).toEqual(comparable(together?.body));
    }
    const metrics = await (await fetch(`${local.url}/metrics`)).text();
    expect(metrics).toContain('ask_expert_requests_total{expert="warm",outcome="answered"} 1');
  });

  test('an expert that is killed costs nothing but its answers; a new one is found', async () => {
    await using bundle = await makeTinyBundle();
    await using nats = await startNats();
    const env = environment(bundle, nats.url);
    await using edge = await spawnHttp('edge', env);
    await waitForLog(edge, 'connected to NATS');
    const image = await flatPng(UNSURE_WARM);
    await using first = spawnService('expert', env);
    await waitForLog(first, 'experts are ready');
    await waitFor(async () => (await instancesOf(edge.url)).warm?.instances === 1, 'the expert');
    expect((await postImage(edge.url, image)).body.route).toBe('expert');

    first.kill('SIGKILL');
    await first.exited;
    await waitFor(async () => (await instancesOf(edge.url)).warm?.instances === 0, 'the expert to be gone');
    const alone = await postImage(edge.url, image);
    expect([alone.status, alone.body.label, alone.body.degraded]).toEqual([200, 'red', 'no-expert']);

    await using second = spawnService('expert', env);
    await waitForLog(second, 'experts are ready');
    await waitFor(async () => (await instancesOf(edge.url)).warm?.instances === 1, 'the new expert');
    const route = async () => (await postImage(edge.url, image)).body.route;
    await waitFor(async () => (await route()) === 'expert', 'the edge to find it');
  });

  test('SIGTERM under load: no request is lost on the expert or the edge', async () => {
    await using bundle = await makeTinyBundle();
    await using nats = await startNats();
    const env = environment(bundle, nats.url);
    const experts = [spawnService('expert', env), spawnService('expert', env)];
    await Promise.all(experts.map((expert) => waitForLog(expert, 'experts are ready')));
    await using edge = await spawnHttp('edge', env);
    await waitFor(async () => (await instancesOf(edge.url)).warm?.instances === 2, 'two experts');
    const image = await flatPng(UNSURE_WARM);

    let stop = false;
    const degraded: (string | null)[] = [];
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop) {
        const { status, body } = await postImage(edge.url, image);
        expect(status).toBe(200);
        degraded.push(body.degraded);
      }
    });
    await waitFor(() => degraded.length > 50, 'load');
    experts[0]?.kill('SIGTERM');
    expect(await experts[0]?.exited).toBe(0);
    const before = degraded.length;
    await waitFor(() => degraded.length > before + 50, 'load after the stop');
    stop = true;
    await Promise.all(clients);
    expect(degraded.every((reason) => reason === null)).toBe(true);

    const held = Array.from({ length: 8 }, () => postImage(edge.url, image));
    await waitFor(async () => {
      const metrics = await (await fetch(`${edge.url}/metrics`)).text();
      return (
        Number(/ask_answers_total\{strategy="ask",route="expert",degraded="no"\} (\d+)/.exec(metrics)?.[1]) >
        degraded.length
      );
    }, 'one of the last requests to be answered');
    edge.kill('SIGTERM');
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(await edge.exited).toBe(0);
    experts[1]?.kill('SIGTERM');
    expect(await experts[1]?.exited).toBe(0);
  });

  test('without NATS at start the edge answers and says so; when NATS comes, experts are asked', async () => {
    await using bundle = await makeTinyBundle();
    const port = await freePort();
    const env = environment(bundle, `nats://127.0.0.1:${port}`);
    await using edge = await spawnHttp('edge', env);
    await using expert = spawnService('expert', env);
    await waitForLog(expert, 'experts are ready');
    const image = await flatPng(UNSURE_WARM);
    const alone = await postImage(edge.url, image);
    expect([alone.status, alone.body.degraded]).toEqual([200, 'no-expert']);
    const ready = await fetch(`${edge.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      {
        status: 'ready',
        bus: { kind: 'nats', connected: false },
        experts: { warm: { instances: 0, circuit: 'closed' }, cold: { instances: 0, circuit: 'closed' } },
        missing: ['warm', 'cold'],
      },
    ]);
    await using nats = await startNats({ port });
    expect(nats.port).toBe(port);
    await waitFor(async () => (await instancesOf(edge.url)).warm?.instances === 1, 'the expert over NATS');
    expect((await postImage(edge.url, image)).body.route).toBe('expert');
  });

  test('silent connections and an absent collector do not delay a stop', async () => {
    await using bundle = await makeTinyBundle();
    const env = {
      ASK_MODELS_DIR: bundle.directory,
      ASK_WORKERS: '1',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    };
    await using system = await spawnHttp('local', env);
    await waitForLog(system, 'experts are ready');
    const { hostname, port } = new URL(system.url);
    const silent = connect(Number(port), hostname).on('error', () => {});
    await new Promise((resolve) => silent.once('connect', resolve));
    expect((await postImage(system.url, await flatPng(UNSURE_WARM))).status).toBe(200);
    system.kill('SIGTERM');
    expect(await system.exited).toBe(0);
    expect(system.log()).toContain('"msg":"stopped"');
  });

  test('a second signal ends a stop that waits for work', async () => {
    await using bundle = await makeTinyBundle();
    await using edge = await spawnHttp('edge', {
      ...environment(bundle, 'nats://127.0.0.1:1'),
      ASK_DRAIN_MS: '600000',
    });
    const socket = connect(Number(new URL(edge.url).port), '127.0.0.1');
    socket.on('error', () => {});
    const head = 'host: edge\r\nexpect: 100-continue\r\ncontent-type: image/png\r\ncontent-length: 9';
    socket.write(`POST /classify?deadlineMs=600000 HTTP/1.1\r\n${head}\r\n\r\nx`);
    await once(socket, 'data'); // 100 Continue: the edge has the request
    edge.kill('SIGTERM');
    await waitForLog(edge, '"msg":"stopping"');
    const ended = await Promise.race([edge.exited, new Promise((resolve) => setTimeout(resolve, 500, 'waits'))]);
    expect(ended).toBe('waits');
    edge.kill('SIGTERM');
    expect(await edge.exited).toBe(1);
    socket.destroy();
  });

  test('probes of an expert follow its connection', async () => {
    await using bundle = await makeTinyBundle();
    await using nats = await startNats();
    const port = await freePort();
    await using expert = spawnService('expert', { ...environment(bundle, nats.url), ASK_HEALTH_PORT: String(port) });
    await waitForLog(expert, 'experts are ready');
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
    await waitFor(async () => (await status('/readyz').catch(() => 0)) === 200, 'readiness');
    await nats.stop();
    await waitFor(async () => (await status('/readyz')) === 503, 'the loss to show');
    expect([await status('/healthz'), await status('/metrics')]).toEqual([200, 200]);
  });
});

describe('processes: a start that cannot succeed ends with status 1 and a message without a stack', () => {
  test('wrong settings, all at once', async () => {
    const log = await failedStart('edge', { PORT: 'x', ASK_DEADLINE_MS: 'y' });
    expect(log).toMatch(/^ask-edge: the configuration has 2 mistake\(s\):\n {2}PORT=x: .*\n {2}ASK_DEADLINE_MS=y: /);
  });

  test('no bundle', async () => {
    expect(await failedStart('local', { ASK_MODELS_DIR: '/nowhere' })).toMatch(
      /^ask-the-expert: ASK_MODELS_DIR=\/nowhere: \/nowhere\/manifest\.json cannot be read: ENOENT/,
    );
  });

  test('altered weights, at the service that would use them', async () => {
    await using bundle = await makeTinyBundle();
    await appendFile(join(bundle.directory, 'warm.onnx'), 'x');
    expect(await failedStart('expert', { ASK_MODELS_DIR: bundle.directory })).toMatch(
      /^ask-expert: ASK_MODELS_DIR=\S+: model warm: .* bytes/,
    );
    expect(await failedStart('local', { ASK_MODELS_DIR: bundle.directory, PORT: '0' })).toMatch(/model warm: .* bytes/);
  });

  test('weights that are no model', async () => {
    await using bundle = await makeTinyBundle({ models: { generalist: { rows: [[0, 0, 0, 1]] } }, golden: null });
    const log = await failedStart('edge', { ASK_MODELS_DIR: bundle.directory, PORT: '0' });
    expect(log).toMatch(
      /^ask-edge: ASK_MODELS_DIR=\S+: model generalist: output 'logits' is float32 \[1,1\], expected float32 \[1,4\]/,
    );
  });

  test.each(['edge', 'local'] as const)('%s where others can call, without keys', async (name) => {
    await using bundle = await makeTinyBundle();
    const log = await failedStart(name, { ASK_MODELS_DIR: bundle.directory, HOST: '0.0.0.0', PORT: '0' });
    expect(log).toMatch(/^ask-[a-z-]+: HOST=0\.0\.0\.0 may let others in: set ASK_API_KEYS_FILE .*\n$/);
  });

  test('a key file that is not there, or has none', async () => {
    await using bundle = await makeTinyBundle();
    const env = { ASK_MODELS_DIR: bundle.directory, PORT: '0' };
    expect(await failedStart('edge', { ...env, ASK_API_KEYS_FILE: '/nowhere' })).toMatch(
      /^ask-edge: ASK_API_KEYS_FILE=\/nowhere cannot be read: ENOENT.*'\/nowhere'\n$/,
    );
    await using file = await makeKeyFile('# none yet\n');
    expect(await failedStart('edge', { ...env, ASK_API_KEYS_FILE: file.path })).toBe(
      `ask-edge: ASK_API_KEYS_FILE=${file.path}: there is no key in it\n`,
    );
  });

  test('a HOST that has no address', async () => {
    await using bundle = await makeTinyBundle();
    const env = { ASK_MODELS_DIR: bundle.directory, HOST: 'nowhere.invalid', ASK_ALLOW_ANONYMOUS: 'true' };
    expect(await failedStart('edge', env)).toMatch(/^ask-edge: .*nowhere\.invalid: set HOST to .*\n$/);
  });

  test.each(['edge', 'expert'] as const)(
    'files of the access to NATS that cannot be used, all at once: %s',
    async (name) => {
      await using bundle = await makeTinyBundle();
      const env = { NATS_URL: 'tls://127.0.0.1:1', ASK_NATS_CA: '/nowhere', ASK_NATS_NKEY_FILE: 'package.json' };
      expect(await failedStart(name, { ...env, ASK_MODELS_DIR: bundle.directory })).toBe(
        `ask-${name}: access to NATS has 2 mistake(s):
  ASK_NATS_CA: the file cannot be read (ENOENT)
  ASK_NATS_NKEY_FILE: the file holds no user's seed (SU...)
`,
      );
    },
  );

  test('a port that is taken', async () => {
    await using bundle = await makeTinyBundle();
    await using first = await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });
    const log = await failedStart('local', { ASK_MODELS_DIR: bundle.directory, PORT: new URL(first.url).port });
    expect(log).toMatch(/address already in use .*set PORT \(or ASK_HEALTH_PORT\) to another one/);
  });
});

test('processes: the whole system runs where standard output cannot be written', async () => {
  await using bundle = await makeTinyBundle();
  await using full = await open('/dev/full', 'w');
  const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', PORT: '0' };
  await using system = spawnService('local', env, [], { stdout: full.fd });
  await waitForLog(system, '"msg":"ready"');
  system.kill('SIGTERM');
  expect(await system.exited).toBe(0);
});

test.each(['edge', 'expert', 'local', 'cli'] as const)(
  'processes: %s --help names the settings and ends',
  async (name) => {
    await using service = spawnService(name, {}, ['--help']);
    expect(await service.exited).toBe(0);
    expect(service.output()).toContain('ASK_MODELS_DIR');
  },
);
