import { execFile } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { spawnService, waitForLog } from '../support/service.ts';
import { makeTinyBundle } from '../support/tiny-bundle.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const services = ['services/local/main.ts', 'services/edge/main.ts', 'services/expert/main.ts'];
const about = expect.stringMatching(
  `^${packageJson.version}\ncode: Apache-2.0\n` +
    'bundle default, data: CIFAR-100: [^\n]+\nbundle default, starting weights: [^\n]+\n$',
);
const tools = [
  'test/bench/bench.ts',
  'test/bench/models.ts',
  'test/bench/pairs.ts',
  'test/bench/same.ts',
  'test/bench/telemetry.ts',
  'test/faults/main.ts',
  'test/faults/soak.ts',
  'infra/nats/nkey.ts',
];

function run(command: string, args: string[], cwd = root) {
  const env = { PATH: process.env.PATH, PORT: '0', NATS_URL: 'nats://127.0.0.1:1' };
  return new Promise<{ status: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(command, args, { cwd, env, timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ status: error ? error.code : 0, stdout, stderr });
    });
  });
}

describe('arguments', () => {
  test.each([...services, ...tools])(
    '%s refuses those it does not know, and tells its version and its use',
    async (file) => {
      const [unknown, version, help] = await Promise.all(
        ['--loud', '--version', '--help'].map((flag) => run(process.execPath, [file, flag])),
      );
      expect([unknown?.status, unknown?.stdout]).toEqual([2, '']);
      expect(unknown?.stderr).toMatch(/^[\w:.-]+: Unknown option '--loud'.* \(--help says what there is\)\n$/);
      expect([version?.status, version?.stdout]).toEqual([
        0,
        services.includes(file) ? about : `${packageJson.version}\n`,
      ]);
      expect([help?.status, help?.stdout.includes(file.startsWith('infra') ? file : 'npm ')]).toEqual([0, true]);
    },
  );

  test.each([['--', '--port', '18201'], ['--port=18201'], ['--port', '18201']])('npm start %j', async (...args) => {
    const { status, stderr } = await run('npm', ['start', ...args.filter(Boolean)]);
    expect(status).toBe(2);
    expect(stderr).toContain('PORT=18201 npm start');
  });

  test.each([
    ['infra/nats/certificate.sh', ['--loud', 'host']],
    ['infra/nats/certificate.sh', []],
    ['test/tools/install.sh', ['--loud']],
    ['.ci/run', ['--loud']],
    ['training/venv.sh', []],
  ])('%s %j is refused', async (file, args) => {
    const { status, stderr } = await run('bash', [file, ...args]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^\S+: .+\n$/)]);
  });
});

test('arguments: a service started from elsewhere finds its models, and takes given folders from there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ask-elsewhere-'));
  try {
    await using bundle = await makeTinyBundle();
    const nowhere = await run(
      'env',
      ['ASK_MODELS_DIR=none', process.execPath, join(root, services[0] as string)],
      folder,
    );
    expect(nowhere.stderr).toMatch(
      /^ask-the-expert: ASK_MODELS_DIR=none: \/\S+\/ask-elsewhere-\w+\/none\/manifest\.json /,
    );
    await using system = spawnService('local', { PORT: '0', ASK_WORKERS: '1' }, [], { cwd: folder });
    await waitForLog(system, 'experts are ready');
    expect(system.log()).toContain('"experts":["expert-1"');
    await using own = spawnService('local', { PORT: '0', ASK_MODELS_DIR: bundle.directory }, [], { cwd: folder });
    await waitForLog(own, 'experts are ready');
    await expect(access(join(folder, '.cache'))).rejects.toThrow('ENOENT');
  } finally {
    await rm(folder, { recursive: true });
  }
});
