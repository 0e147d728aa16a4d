import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runTool } from '../support/run-tool.ts';
import { spawnHttp } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const pythonGenerator = findTool('openapi-python-client');
const typescriptGenerator = findTool('openapi-ts');

let started: AsyncDisposableStack;
let cwd: string;
let url: string;
let document: string;
beforeAll(async () => {
  await using stack = new AsyncDisposableStack();
  cwd = await mkdtemp(join(tmpdir(), 'ask-clients-'));
  stack.defer(() => rm(cwd, { recursive: true }));
  const bundle = stack.use(await makeTinyBundle());
  ({ url } = stack.use(await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' })));
  document = join(cwd, 'openapi.json');
  await writeFile(document, await (await fetch(`${url}/openapi.json`)).text());
  await writeFile(join(cwd, 'picture.png'), await flatPng(SURE_RED));
  started = stack.move();
});
afterAll(() => started.disposeAsync());

describe('generated clients', () => {
  test.skipIf(!pythonGenerator)('Python: raw, form and JSON are answered, a refusal is read', async () => {
    const bin = dirname(pythonGenerator as string);
    const env = { PATH: `${bin}${delimiter}${process.env.PATH}` }; // the generator formats with the ruff beside it
    const output = join(cwd, 'client');
    await runTool(
      pythonGenerator as string,
      ['generate', '--path', document, '--output-path', output, '--meta', 'none'],
      { cwd, env },
    );
    const script = fileURLToPath(new URL('classify.py', import.meta.url));
    const printed = await runTool(join(bin, 'python'), ['-B', script, url], {
      cwd,
      env: { PYTHONPATH: cwd, PICTURE: join(cwd, 'picture.png') },
    });
    expect(JSON.parse(printed)).toEqual({
      raw: ['red', 'edge', 2],
      form: ['red', 'edge', 3],
      json: ['red', 'edge', 4],
      refused: [400, 'not-an-image'],
      status: 'ready',
      experts: ['warm', 'cold'],
    });
  });

  test.skipIf(!typescriptGenerator)('TypeScript: a picture is answered, a refusal is read', async () => {
    const output = join(cwd, 'client-ts');
    await runTool(
      process.execPath,
      [typescriptGenerator as string, '-i', document, '-o', output, '--no-log-file', '--silent'],
      { cwd },
    );
    const { createClient } = await import(pathToFileURL(join(output, 'client/index.ts')).href);
    const { classify, listExperts } = await import(pathToFileURL(join(output, 'sdk.gen.ts')).href);
    const client = createClient({ baseUrl: url });
    const image = (await flatPng(SURE_RED)).toString('base64');
    const { data } = await classify({ client, body: { image, strategy: 'edge' }, query: { topK: 2 } });
    expect([data.label, data.route, data.topK.length, data.decision.reason]).toEqual([
      'red',
      'edge',
      2,
      'never-escalates',
    ]);
    const { error, response } = await classify({ client, body: { image: 'aGVsbG8=' } });
    expect([response.status, error.code]).toEqual([400, 'not-an-image']);
    expect((await listExperts({ client })).data.map(({ id }: { id: string }) => id)).toEqual(['warm', 'cold']);
  });
});
