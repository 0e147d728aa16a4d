import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runTool } from '../support/run-tool.ts';
import { spawnHttp } from '../support/service.ts';
import { flatPng, makeTinyBundle, SURE_RED } from '../support/tiny-bundle.ts';
import { findTool } from '../support/tools.ts';

const schemathesis = findTool('schemathesis');
const SEED = process.env.SCHEMATHESIS_SEED ?? '1';

/**
 * All but these: `positive_data_acceptance`, because pixels without a layout, a field `image` that is no base64 and
 * forms whose picture is no file are right by the schema, which cannot say more, and are refused; and those about
 * logins and resources, of which the API has none.
 */
const checks = [
  ...['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance'],
  ...['response_schema_conformance', 'negative_data_rejection', 'missing_required_header'],
  ...['unsupported_method', 'allow_header_conformance'],
];

test.skipIf(!schemathesis)(
  'API description: a running service answers whatever it allows, and refuses the rest',
  async () => {
    await using stack = new AsyncDisposableStack();
    const cwd = await mkdtemp(join(tmpdir(), 'ask-schemathesis-'));
    stack.defer(() => rm(cwd, { recursive: true }));
    const bundle = stack.use(await makeTinyBundle());
    const { url } = stack.use(await spawnHttp('local', { ASK_MODELS_DIR: bundle.directory, ASK_WORKERS: '1' }));
    await writeFile(join(cwd, 'picture.png'), await flatPng(SURE_RED));
    const output = await runTool(
      schemathesis as string,
      [
        ...['run', `${url}/openapi.json`, '--checks', checks.join(','), '--seed', SEED, '--max-examples', '50'],
        ...['--generation-database', 'none', '--no-color', '--continue-on-failure'],
      ],
      {
        cwd,
        env: {
          PYTHONPATH: fileURLToPath(new URL('.', import.meta.url)),
          PYTHONDONTWRITEBYTECODE: '1',
          SCHEMATHESIS_HOOKS: 'real_pictures',
          PICTURE: join(cwd, 'picture.png'),
        },
      },
    );
    expect(output).toContain('No issues found');
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics, 'the pictures were real').toMatch(
      /ask_answers_total\{strategy="expert",route="expert",[^}]*\} [1-9]/,
    );
    expect(metrics).toMatch(/ask_errors_total\{code="invalid-parameter"\} [1-9]/);
  },
  120_000,
);
