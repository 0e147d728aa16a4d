import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failedStart } from '../support/failed-start.ts';
import { type KeyFiles, signManifest, writeKeys } from '../support/keys.ts';
import { startNats } from '../support/nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, SIZE, SURE_RED, type TinyBundle } from '../support/tiny-bundle.ts';
import { buildTinyOnnx } from '../support/tiny-onnx.ts';
import { waitFor } from '../support/wait.ts';

let folder: string;
let keys: KeyFiles;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ask-trust-'));
  keys = await writeKeys(folder, 'key');
});
afterAll(() => rm(folder, { recursive: true }));

const environment = (bundle: TinyBundle) => ({ ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });

async function sign(args: string[], env: Record<string, string> = {}) {
  await using service = spawnService('cli', env, ['sign', ...args]);
  return { status: await service.exited, errors: service.log() };
}

describe('trust: with ASK_MANIFEST_KEY', () => {
  test('a signed manifest is served, a manifest changed since is not', async () => {
    await using bundle = await makeTinyBundle();
    const signature = join(bundle.directory, 'manifest.json.sig');
    const signed = await sign(['--models', bundle.directory, '--key', keys.privateKey]);
    expect(signed).toEqual({ status: 0, errors: `written: ${signature}\n` });

    const env = { ...environment(bundle), ASK_MANIFEST_KEY: keys.publicKey };
    await using nats = await startNats();
    await using expert = spawnService('expert', { ...env, NATS_URL: nats.url });
    await waitForLog(expert, 'experts are ready');
    await using edge = await spawnHttp('edge', { ...env, NATS_URL: nats.url });
    expect((await postImage(edge.url, await flatPng(SURE_RED))).body.label).toBe('red');

    await appendFile(join(bundle.directory, 'manifest.json'), '\n');
    for (const name of ['edge', 'expert', 'local'] as const) {
      expect(await failedStart(name, env)).toContain(`: ${signature} is not a signature of `);
    }
  });

  test('an unsigned bundle stops the start, and so do keys that are none', async () => {
    await using bundle = await makeTinyBundle();
    const env = { ...environment(bundle), ASK_MANIFEST_KEY: keys.publicKey };
    expect(await failedStart('edge', env)).toMatch(/^ask-edge: .*\/manifest\.json\.sig cannot be read: ENOENT/);
    const wrong = { ...env, ASK_MANIFEST_KEY: keys.privateKey };
    expect(await failedStart('expert', wrong)).toMatch(
      /^ask-expert: ASK_MANIFEST_KEY=.* must hold Ed25519 public keys/,
    );
  });
});

describe('trust: ask sign', () => {
  test('signs the bundle of the settings, over a signature that is there', async () => {
    await using bundle = await makeTinyBundle();
    const signature = join(bundle.directory, 'manifest.json.sig');
    await signManifest(bundle.directory, keys);
    const expected = `${await readFile(signature, 'utf8')}\n`;
    await writeFile(signature, 'of a former manifest');
    expect((await sign(['--key', keys.privateKey], environment(bundle))).status).toBe(0);
    expect(await readFile(signature, 'utf8')).toBe(expected);
  });

  test('what makes no sense ends with status 2, a manifest no service takes with 1; nothing is written', async () => {
    await using bundle = await makeTinyBundle();
    const { directory } = bundle;
    const refused = async (args: string[]) => {
      const { status, errors } = await sign(['--models', directory, ...args]);
      expect(errors).not.toMatch(/^\s+at /m);
      await expect(readFile(join(directory, 'manifest.json.sig'))).rejects.toThrow('ENOENT');
      return [status, errors];
    };
    expect(await refused([])).toEqual([
      2,
      expect.stringContaining("required option '--key <private.pem>' not specified"),
    ]);
    const text = join(directory, 'manifest.json');
    for (const file of [keys.publicKey, text]) {
      expect(await refused(['--key', file])).toEqual([
        2,
        expect.stringContaining(`${file} is not an Ed25519 private key`),
      ]);
    }
    expect(await refused(['--key', '/nowhere'])).toEqual([1, expect.stringContaining('ENOENT')]);
    await writeFile(text, '{}');
    expect(await refused(['--key', keys.privateKey])).toEqual([1, expect.stringContaining('is not a usable manifest')]);
  });
});

describe('trust: golden inputs', () => {
  test('a model that does not answer as recorded stops the service that would use it', async () => {
    await using generalist = await makeTinyBundle({
      golden: ({ models }) => void Object.assign(models.generalist, models.cold),
    });
    expect(await failedStart('edge', environment(generalist))).toMatch(
      /^ask-edge: ASK_MODELS_DIR=\S+: model generalist: its logits for picture 0 of .*golden\.json deviate by \d+\.\d % from the recorded ones/,
    );
    await using expert = await makeTinyBundle({
      golden: ({ models }) => void Object.assign(models.cold, models.warm),
    });
    const message = `ASK_MODELS_DIR=${expert.directory}: model cold: its logits for picture 0 of `;
    expect(await failedStart('expert', environment(expert))).toContain(`ask-expert: ${message}`);
    expect(await failedStart('local', environment(expert))).toContain(`ask-the-expert: ${message}`);
    await using edge = await spawnHttp('edge', environment(expert));
    expect((await postImage(edge.url, await flatPng(SURE_RED))).status).toBe(200);
  });

  test('a bundle without them is served, with a warning that names the models', async () => {
    await using bundle = await makeTinyBundle({ golden: null });
    await using system = await spawnHttp('local', environment(bundle));
    await waitForLog(system, 'experts are ready');
    const warnings = system.log().match(/^.*has no golden inputs.*$/gm) ?? [];
    expect(warnings.map((line) => JSON.parse(line))).toMatchObject([
      { level: 40, models: ['generalist'] },
      { level: 40, models: ['warm', 'cold'] },
    ]);
    await using checked = await makeTinyBundle();
    await using quiet = await spawnHttp('local', environment(checked));
    await waitForLog(quiet, 'experts are ready');
    expect(quiet.log()).not.toContain('"level":40');
  });
});

test('trust: a file that changed while the service runs is not loaded by a new model process', async () => {
  await using bundle = await makeTinyBundle();
  await using system = await spawnHttp('local', { ...environment(bundle), ASK_CACHE_BYTES: '0' });
  await waitForLog(system, 'experts are ready');
  const image = await flatPng(SURE_RED);
  const ask = async () => {
    const { status, body } = await postImage(system.url, image, '?strategy=edge');
    return status === 200 ? body.label : `${status} ${body.code}: ${body.detail}`;
  };
  expect(await ask()).toBe('red');

  const path = join(bundle.directory, 'generalist.onnx');
  await rename(path, `${path}.before`);
  const green = [0, 1, 2, 3].map((label): [number, number, number, number] => [0, 0, 0, label === 1 ? 9 : 0]);
  await writeFile(path, buildTinyOnnx(SIZE, { rows: green, attention: true }));
  expect(await ask()).toBe('red'); // still the one that was loaded
  const killed = modelProcesses(system.pid);
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  await waitFor(() => modelProcesses(system.pid).every((pid) => !killed.includes(pid)), 'the processes to end');
  expect(await ask()).toBe('500 model-failed: model generalist could not be run, see the log');
  await waitForLog(system, 'generalist.onnx has sha256 ');
  const readiness = async () => {
    const response = await fetch(`${system.url}/readyz`);
    return [response.status, ((await response.json()) as { status: string }).status];
  };
  expect(await readiness()).toEqual([503, 'model-failed']);

  await rename(`${path}.before`, path);
  expect(await ask()).toBe('red');
  await waitFor(async () => (await readiness())[0] === 200, 'readiness');
});

function modelProcesses(parent: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'ppid=,pid=,args='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [ppid, pid] = line.trim().split(/\s+/).map(Number);
    return ppid === parent && line.includes('inference/worker') ? [pid as number] : [];
  });
}
