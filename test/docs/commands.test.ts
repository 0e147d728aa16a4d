import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort, type NatsServer, startNats } from '../support/nats-server.ts';
import { pages, readCommands, readPage } from '../support/pages.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Runs what the pages tell people to run, with the committed models; only addresses and file names are replaced.
 * Commands whose block is marked are in `marked-commands.test.ts`.
 */
const readme = readPage('README.md');
const commands = new Set(
  pages
    .flatMap(readCommands)
    .filter((command) => command.needs === undefined)
    .map(({ text }) => text),
);

let folder: string;
let nats: NatsServer;
let whole: ReturnType<typeof startAt> | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ask-readme-'));
  await writeFile(join(folder, 'test.bin'), Buffer.alloc(3 * 3074, 7));
  nats = await startNats();
});
afterAll(async () => {
  await (await whole)?.[Symbol.asyncDispose]();
  await nats.stop();
  await rm(folder, { recursive: true });
});

/** A command that goes on; resolves when its log shows `text`. `stop` ends it and all it started. */
async function start(command: string, text: string, env: Record<string, string> = {}) {
  const child: ChildProcess = spawn('bash', ['-c', command], {
    detached: true,
    env: { ...process.env, PORT: '0', NATS_URL: nats.url, ...env },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (log += chunk));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    process.kill(-(child.pid as number), 'SIGTERM');
    await exited;
  };
  await waitFor(() => log.includes(text), `'${text}' from ${command}`).catch(async (error: Error) => {
    await stop();
    throw new Error(`${error.message}; it printed:\n${log}`);
  });
  return { log, [Symbol.asyncDispose]: stop };
}

/** `npm start`, once for all who only ask it. */
function startWhole() {
  whole ??= startAt();
  return whole;
}

async function startAt() {
  const port = String(await freePort());
  return { port, ...(await start('npm start', 'experts are ready', { PORT: port })) };
}

const run = async (command: string, cwd = process.cwd()) =>
  (await promisify(execFile)('bash', ['-c', command], { cwd })).stdout;

const checks: Record<string, (command: string) => Promise<void>> = {
  'npm ci && npm start': async () => {
    await run('npm ci --dry-run --silent');
    expect((await startWhole()).log).toContain('"msg":"ready"');
  },
  'npm ci && npm test': async () => {
    // This very test runs under it.
    expect((await scripts()).test).toBe('vitest run');
  },
  'curl --data-binary @test/samples/beaver/image_0035.jpg localhost:8080/classify': async (command) => {
    const { port } = await startWhole();
    const answer = JSON.parse(await run(command.replace('curl', 'curl -s').replace('8080', port)));
    const shown = JSON.parse(/```json\n([\s\S]*?)```/.exec(readme)?.[1] as string);
    expect(shapeOf(answer)).toEqual(shapeOf(shown));
    expect([answer.label, answer.expert]).toEqual([shown.label, shown.expert]);
  },
  'npm run -s ask -- classify test/samples': async (command) => {
    const output = await run(command);
    expect(output.match(/^test\/samples\/\w+\/image_\d+\.jpg: \S+ \d+\.\d %$/gm)).toHaveLength(12);
  },
  'npm run -s eval -- --data test/samples': async (command) => {
    const table = /^12 pictures, .*\nstrategy .*\nask .*\nedge .*\nexpert .*\noracle /;
    expect(await run(command)).toMatch(table);
    // As the results were measured.
    const path = join(folder, 'test.bin');
    expect(await run(command.replace('test/samples', path))).toMatch(/^3 pictures, .*\nstrategy .*\nask /);
  },
  'npm run -s ask -- calibrate --max-escalation 0.3 --dry-run': async (command) => {
    expect(await run(command)).toMatch(/\nchosen: max-probability below 0\.\d+, [12]\d\.\d\d % escalated, /);
  },
  'npm run -s ask -- encodings --data test/samples --dry-run': async (command) => {
    expect(await run(command)).toMatch(/\n12 pictures of test\/samples, .*\nchosen: [\w-]+, the fewest bytes /);
    // With records it must say that it needs those of the training, and nothing else.
    const path = join(folder, 'test.bin');
    const records = run(command.replace('test/samples', path));
    await expect(records).rejects.toThrow('the bundle was trained on e8a1e9db');
  },
  'npm run edge': async (command) => {
    await using edge = await start(command, 'connected to NATS');
    expect(edge.log).toContain('ask-edge');
  },
  'npm run expert': async (command) => {
    await using expert = await start(command, 'experts are ready');
    expect(expert.log).toContain('"experts":["expert-1",');
  },
  'OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 npm start': async (command) => {
    await using system = await start(command, 'experts are ready');
    expect(system.log).toContain('"msg":"ready"');
  },
  'npm run check': async () => {
    expect(await readFile('.ci/run', 'utf8')).toContain('\nnpm run check\n');
    expect((await scripts()).check).toContain('npm test');
  },
  'npm run dev': async () => {
    // `dev.test.ts` runs it.
    expect((await scripts()).dev).toContain('--watch');
  },
  'npm run test:unit': async (command) => {
    expect(await run(`${command} -- -t 'tensors: round trip'`)).toContain('passed');
  },
  'npm run format': async (command) => {
    expect(await run(`${command} -- test/docs/commands.test.ts 2>&1`)).toContain('Checked 1 file');
  },
  'npm start': async () => {
    expect((await startWhole()).log).toContain('"msg":"ready"');
  },
  'openssl genpkey -algorithm ed25519 -out private.pem': async (command) => {
    await run(command, folder);
  },
  'openssl pkey -in private.pem -pubout -out public.pem': async (command) => {
    await run(command, folder);
  },
  'npm run -s ask -- sign --models models/default --key private.pem': async (command) => {
    await cp('models/default', join(folder, 'bundle'), { recursive: true });
    await run(
      command.replace('models/default', join(folder, 'bundle')).replace('private.pem', join(folder, 'private.pem')),
    );
    expect(await readFile(join(folder, 'bundle/manifest.json.sig'), 'utf8')).toMatch(/^[\w+/]{86}==\n$/);
  },
  'ASK_MANIFEST_KEY=public.pem npm start': async (command) => {
    const signed = command.replace('public.pem', join(folder, 'public.pem'));
    await using system = await start(signed, 'experts are ready', { ASK_MODELS_DIR: join(folder, 'bundle') });
    expect(system.log).toContain('"msg":"ready"');
  },
};

describe('commands', () => {
  test('each that a page has is known here', () => {
    expect([...commands].toSorted()).toEqual(Object.keys(checks).toSorted());
  });

  test.each(Object.entries(checks))(
    '%s',
    async (command, check) => {
      await check(command);
    },
    240_000,
  );
});

async function scripts(): Promise<Record<string, string>> {
  return JSON.parse(await readFile('package.json', 'utf8')).scripts;
}

/** Keys and types, so that an answer can be compared with the README's; null and text are alike. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (value === null || typeof value !== 'object') return value === null ? 'string' : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}
