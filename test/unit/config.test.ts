import { expect, test } from 'vitest';
import { describeSettings, helpText, readConfig, wantsTraces } from '../../shared/config.ts';

test('everything has a default', () => {
  expect(readConfig({})).toMatchObject({ HOST: '127.0.0.1', PORT: 8080, ASK_MODELS_DIR: 'models/default' });
});

test('an empty setting counts as not set', () => {
  expect(readConfig({ PORT: '' }).PORT).toBe(8080);
});

test('every mistake is listed in one message', () => {
  const env = {
    PORT: 'many',
    LOG_LEVEL: 'loud',
    ASK_DEADLINE_MS: '0',
    ASK_DEADLIN_MS: '5',
    NATS_URL: 'nats://u:secret@x',
  };
  expect(() => readConfig(env)).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(
        /^the configuration has 5 mistake\(s\):\n {2}PORT=many: .*\n {2}NATS_URL: .*\n {2}LOG_LEVEL=loud: .*\n {2}ASK_DEADLINE_MS=0: .*\n {2}ASK_DEADLIN_MS: there is no such setting$/,
      ),
    }),
  );
});

test('a password in an address is not repeated', () => {
  expect(() => readConfig({ NATS_URL: 'nats://u:secret@x' })).toThrow(/^(?![\s\S]*secret)[\s\S]*ASK_NATS_PASSWORD/);
});

test('a key that cannot be one is not repeated', () => {
  const message = 'the configuration has 1 mistake(s):\n  ASK_API_KEY: must be visible characters without spaces';
  expect(() => readConfig({ ASK_API_KEY: 'ask_secret and more' })).toThrow(expect.objectContaining({ message }));
});

test.each([' ', '0x50', '1e3', '80.5'])('PORT=%s is not a port', (PORT) => {
  expect(() => readConfig({ PORT })).toThrow('PORT=');
});

test('a list of NATS servers is accepted', () => {
  const NATS_URL = 'nats://a:4222,b.example:4223';
  expect(readConfig({ NATS_URL }).NATS_URL).toBe(NATS_URL);
});

test('help names every setting', () => {
  const help = helpText('usage');
  for (const { name } of describeSettings()) expect(help).toContain(name);
});

test.each([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_TRACES_EXPORTER: 'console' }, true],
  [{ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, false],
  [{ OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' }, false],
  [{ OTEL_SERVICE_NAME: 'x' }, false],
])('traces with %j: %s', (env, expected) => {
  expect(wantsTraces(env)).toBe(expected);
});
