import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KEY, makeKeyFile } from '../support/key-file.ts';
import { spawnHttp, spawnService, withoutProgress } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

let folder: string;
let pictures: string;
let system: Awaited<ReturnType<typeof spawnHttp>>;
const stack = new AsyncDisposableStack();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ask-cli-'));
  pictures = join(folder, 'pictures');
  await mkdir(pictures);
  for (const name of ['a.png', 'b.png']) await writeFile(join(pictures, name), await flatPng(SURE_RED));
  const bundle = stack.use(await makeTinyBundle());
  const keys = stack.use(await makeKeyFile());
  const env = { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1', ASK_API_KEYS_FILE: keys.path };
  system = stack.use(await spawnHttp('local', env));
});
afterAll(async () => {
  await stack.disposeAsync();
  await rm(folder, { recursive: true });
});

async function classify(args: string[], env: Record<string, string> = {}) {
  await using service = spawnService('cli', { ASK_MODELS_DIR: '/nowhere', ...env }, ['classify', pictures, ...args]);
  return {
    status: await service.exited,
    output: service.output(),
    errors: withoutProgress(service.log()).replaceAll(`${pictures}/`, ''),
  };
}

test('classify --url: asks a running service with ASK_API_KEY or the key of a file', async () => {
  const url = ['--url', `${system.url}/`, '--strategy', 'edge', '--json'];
  const keyFile = join(folder, 'key');
  await writeFile(keyFile, `${KEY}\n`);
  for (const { status, output, errors } of [
    await classify(url, { ASK_API_KEY: KEY }),
    await classify([...url, '--key-file', keyFile], { ASK_API_KEY: 'guess' }),
  ]) {
    expect([status, errors]).toEqual([0, '']);
    const answers = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers).toMatchObject([
      { file: join(pictures, 'a.png'), label: 'red', decision: { strategy: 'edge' } },
      { file: join(pictures, 'b.png'), label: 'red' },
    ]);
  }
});

test('classify --url: a service that takes no picture of this caller is not asked for each', async () => {
  const rest = '\n1 of 2 pictures could not be classified, 1 were not sent\n';
  const [none, guess, dead] = await Promise.all([
    classify(['--url', system.url]),
    classify(['--url', system.url], { ASK_API_KEY: 'guess' }),
    classify(['--url', 'http://127.0.0.1:1']),
  ]);
  expect(none).toMatchObject({ status: 1, output: '', errors: expect.stringMatching(/^a\.png: 401 missing-key: /) });
  expect(guess).toMatchObject({ status: 1, output: '', errors: expect.stringMatching(/^a\.png: 403 unknown-key: /) });
  expect(dead.errors).toMatch(/^a\.png: http:\/\/127\.0\.0\.1:1\/classify\?strategy=ask does not answer: /);
  for (const { errors } of [none, guess, dead]) expect(errors.endsWith(rest), errors).toBe(true);
});

test('classify --url: the address of a service may end with the path that pictures are posted to', async () => {
  for (const end of ['/classify', '/classify/']) {
    const { status, errors } = await classify(['--url', `${system.url}${end}`], { ASK_API_KEY: KEY });
    expect([status, errors]).toEqual([0, '']);
  }
});

test('classify --url: a service that is gone after some answers is not asked for the rest', async () => {
  await using bundle = await makeTinyBundle();
  await using mortal = await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' });
  const many = join(folder, 'many');
  await mkdir(many);
  for (let i = 0; i < 300; i++) await writeFile(join(many, `${i}.png`), await flatPng(SURE_RED));
  await using service = spawnService('cli', {}, ['classify', many, '--url', mortal.url]);
  await waitFor(() => service.output().includes('red'), 'the first answer');
  mortal.kill('SIGKILL');
  expect(await service.exited).toBe(1);
  expect(withoutProgress(service.log())).toMatch(
    /^(.*\n){1,2}[12] of 300 pictures could not be classified, \d+ were not sent\n$/,
  );
});

test('classify --url: TLS with a certificate of its own CA, by --ca or NODE_EXTRA_CA_CERTS alone', async () => {
  execFileSync('sh', ['infra/nats/certificate.sh', folder, '127.0.0.1']);
  const [key, cert] = await Promise.all(['key', 'crt'].map((end) => readFile(join(folder, `127.0.0.1.${end}`))));
  const proxy = createServer({ key, cert }, (request, reply) => {
    const { method, headers } = request;
    const forwarded = httpRequest(new URL(request.url as string, system.url), { method, headers }, (answer) => {
      reply.writeHead(answer.statusCode as number, answer.headers);
      answer.pipe(reply);
    });
    request.pipe(forwarded);
  });
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
  const url = ['--url', `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`];
  const ca = join(folder, 'ca.crt');
  const env = { ASK_API_KEY: KEY };
  const [named, extra, without] = await Promise.all([
    classify([...url, '--ca', ca], env),
    classify(url, { ...env, NODE_EXTRA_CA_CERTS: ca }),
    classify(url, env),
  ]);
  proxy.close();
  for (const trusting of [named, extra]) {
    expect(trusting).toMatchObject({ status: 0, output: expect.stringContaining('b.png: red'), errors: '' });
  }
  expect(without).toMatchObject({ status: 1, output: '' });
  expect(without.errors).toMatch(
    /^a\.png: https:.*: its certificate is not trusted \(\w+\); name its CA's with --ca FILE\.pem\n/,
  );
});

test.each([
  [['--url', 'localhost:8080'], 2, '--url localhost:8080 must be http://HOST:PORT or https://HOST:PORT'],
  [['--url', 'http://me:secret@localhost'], 2, '--url takes no user and password'],
  [['--url', 'me:secret@localhost:8080'], 2, '--url localhost:8080 must be http://HOST:PORT'],
  [['--url', 'http://localhost', '--timeout', '0'], 2, '--timeout 0 is not a number of seconds above 0'],
  [['--url', 'http://localhost', '--ca', 'package.json'], 2, '--ca needs an https:// address'],
  [['--url', 'https://localhost', '--ca', 'package.json'], 1, '--ca package.json must hold certificates in PEM'],
  [['--url', 'https://localhost', '--key-file', 'README.md'], 1, '--key-file README.md must hold one API key'],
  [['--ca', 'package.json'], 2, '--ca needs --url'],
])('classify: %j is refused', async (args, status, message) => {
  const refused = await classify(args);
  expect(refused).toMatchObject({ status, output: '', errors: expect.stringContaining(`ask: ${message}`) });
  expect(refused.errors).not.toContain('secret');
});

test('classify --url: that a key can be read on the way is said', async () => {
  const { errors } = await classify(['--url', 'http://nowhere.invalid'], { ASK_API_KEY: KEY });
  expect(errors).toMatch(/^warning: the API key travels readable to nowhere\.invalid; https:\/\/ hides it\n/);
  expect(errors).not.toContain(KEY);
});
