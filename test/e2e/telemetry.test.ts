import { expect, test } from 'vitest';
import { freePort } from '../support/nats-server.ts';
import { postImage, spawnHttp, waitForLog } from '../support/service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../support/tiny-bundle.ts';
import { waitFor } from '../support/wait.ts';

const COMPLAINT = 'OpenTelemetry complains';
const nobody = `http://127.0.0.1:${await freePort()}`;

test.each<[string, Record<string, string>, RegExp]>([
  ['a collector that is down', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody }, /ECONNREFUSED/],
  [
    'a collector’s name that nobody has',
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://nowhere.invalid:4318' },
    /nowhere\.invalid/,
  ],
  ['an address that is none', { OTEL_EXPORTER_OTLP_ENDPOINT: 'nonsense' }, /nonsense/],
  ['an unknown protocol', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_EXPORTER_OTLP_PROTOCOL: 'foo' }, /protocol: foo/],
  [
    'grpc where nobody is',
    { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    /ECONNREFUSED/,
  ],
  ['an unknown exporter', { OTEL_TRACES_EXPORTER: 'foo' }, /EXPORTER value: foo/],
  ['an unknown sampler', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_TRACES_SAMPLER: 'foo' }, /SAMPLER value "foo"/],
  ['an unknown propagator', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_PROPAGATORS: 'foo' }, /Propagator "foo"/],
  ['its own log level', { OTEL_EXPORTER_OTLP_ENDPOINT: nobody, OTEL_LOG_LEVEL: 'DEBUG' }, /ECONNREFUSED/],
])(
  'telemetry: %s is in the log, once, and the service works',
  async (_, env, reason) => {
    await using bundle = await makeTinyBundle();
    const quick = { OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_EXPORTER_OTLP_TIMEOUT: '300' };
    await using system = await spawnHttp('local', {
      ASK_MODELS_DIR: bundle.directory,
      ASK_WORKERS: '1',
      ...quick,
      ...env,
    });
    await waitForLog(system, 'experts are ready');
    const image = await flatPng(UNSURE_WARM);
    const complaints = () => {
      const lines = system
        .log()
        .split('\n')
        .filter((line) => line.includes(COMPLAINT));
      return lines.map((line) => JSON.parse(line).reason as string).filter((said) => reason.test(said));
    };
    await waitFor(async () => {
      const { status, body } = await postImage(system.url, image, `?threshold=0.9${Math.floor(1e6 * Math.random())}`);
      expect([status, body.route]).toEqual([200, 'expert']);
      expect(body.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
      return complaints().length > 0;
    }, 'the complaint');
    for (let i = 0; i < 20; i++) await postImage(system.url, image, `?threshold=0.8${i}`);
    system.kill('SIGTERM');
    expect(await system.exited).toBe(0);
    expect(complaints().length).toBe(1);
    for (const line of system.log().trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow();
  },
  60_000,
);
