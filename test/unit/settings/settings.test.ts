import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { batchOf, readConfig, wantsTraces } from '../../../shared/settings/settings.ts';

test('settings: everything has a default', () => {
  expect(readConfig({})).toMatchObject({ HOST: '127.0.0.1', PORT: 8080, ASK_MODELS_DIR: resolve('models/default') });
});

test('settings: an empty value counts as not set', () => {
  expect(readConfig({ PORT: '' }).PORT).toBe(8080);
});

test('settings: every mistake is listed in one message', () => {
  const env = {
    PORT: 'many',
    LOG_LEVEL: 'loud',
    ASK_DEADLINE_MS: '0',
    ASK_DEADLIN_MS: '5',
    NATS_URL: 'nats://u:secret@x:y',
  };
  expect(() => readConfig(env)).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(
        new RegExp(
          [
            /^the configuration has 5 mistake\(s\):/,
            / {2}PORT=many: .*/,
            / {2}NATS_URL: .*/,
            / {2}LOG_LEVEL=loud: .*/,
            / {2}ASK_DEADLINE_MS=0: .*/,
            / {2}ASK_DEADLIN_MS: there is no such setting; did you mean ASK_DEADLINE_MS\?$/,
          ]
            .map(({ source }) => source)
            .join('\n'),
        ),
      ),
    }),
  );
});

test('settings: a password in an address is not repeated', () => {
  expect(() => readConfig({ NATS_URL: 'nats://u:secret@x:y' })).toThrow(/^(?![\s\S]*secret)[\s\S]*ASK_NATS_PASSWORD/);
});

test('settings: a malformed key is not repeated', () => {
  const message = 'the configuration has 1 mistake(s):\n  ASK_API_KEY: must be visible characters without spaces';
  expect(() => readConfig({ ASK_API_KEY: 'ask_secret and more' })).toThrow(expect.objectContaining({ message }));
});

test.each(['0x50', '1e3', '80.5'])('settings: PORT=%s is not a port', (PORT) => {
  expect(() => readConfig({ PORT })).toThrow('PORT=');
});

test.each(['nats://a:4222,b.example:4223', 'tls://a,tls://[::1]:4223'])(
  'settings: NATS servers %s are accepted',
  (NATS_URL) => {
    expect(readConfig({ NATS_URL }).NATS_URL).toBe(NATS_URL);
  },
);

test.each(['nats://a:x', 'a:70000', 'tls://', 'http://a', 'a,,b', 'nats://a/b@c'])(
  'settings: NATS servers %s are refused',
  (NATS_URL) => {
    expect(() => readConfig({ NATS_URL })).toThrow('NATS_URL: must be nats://host:port or tls://host:port');
  },
);

test.each<[Record<string, string>, string]>([
  [{ NATS_URL: 'tls://a,nats://b' }, 'NATS_URL: all addresses must be tls://, or none'],
  [
    { ASK_NATS_USER: 'edge', ASK_NATS_NKEY_FILE: 'f' },
    'ASK_NATS_USER, ASK_NATS_NKEY_FILE: only one of them can be used',
  ],
  [
    { ASK_NATS_NKEY_FILE: 'f', ASK_NATS_CREDS: 'f' },
    'ASK_NATS_NKEY_FILE, ASK_NATS_CREDS: only one of them can be used',
  ],
  [{ ASK_NATS_PASSWORD: 'p' }, 'ASK_NATS_PASSWORD: needs ASK_NATS_USER'],
  [{ NATS_URL: 'tls://a', ASK_NATS_KEY: 'f' }, 'ASK_NATS_CERT, ASK_NATS_KEY: neither can be used without the other'],
  [{ ASK_NATS_CA: 'f' }, 'ASK_NATS_CA: needs tls:// addresses in NATS_URL'],
  [{ NATS_URL: 'nats://a', ASK_NATS_CA: 'f' }, 'ASK_NATS_CA: needs tls:// addresses in NATS_URL'],
  [{ ASK_NATS_INBOX: '_INBOX.>' }, 'ASK_NATS_INBOX: must be a subject without wildcards'],
])('settings: %j is refused, saying why', (env, mistake) => {
  expect(() => readConfig(env)).toThrow(`the configuration has 1 mistake(s):\n  ${mistake}`);
});

test('settings: contradictions are listed with all other mistakes', () => {
  expect(() => readConfig({ PORT: 'x', ASK_NATS_CA: 'f', ASK_NATS_PASSWORD: 'p' })).toThrow('has 3 mistake(s)');
});

test.each([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_TRACES_EXPORTER: 'console' }, true],
  [{ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, false],
  [{ OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' }, false],
  [{ OTEL_SERVICE_NAME: 'x' }, false],
])('settings: traces with %j: %s', (env, expected) => {
  expect(wantsTraces(env)).toBe(expected);
});

test.each([
  [{}, 4, 2],
  [{ ASK_EXECUTION_PROVIDERS: 'cuda,cpu' }, 8, 32],
  [{ ASK_EXECUTION_PROVIDERS: 'cuda,cpu', ASK_BATCH_MAX: '16' }, 16, 16],
])(
  'settings: with %j a generalist computes at most %i pictures together and an expert %i',
  (env, generalist, expert) => {
    expect(batchOf(readConfig(env), 'generalist')).toBe(generalist);
    expect(batchOf(readConfig(env), 'expert')).toBe(expert);
  },
);

test.each([
  ['https://app.example', ['https://app.example']],
  [' https://App.Example/ , http://localhost:3000', ['https://app.example', 'http://localhost:3000']],
  ['https://app.example:443,capacitor://localhost', ['https://app.example', 'capacitor://localhost']],
  ['http://[::1]:8080', ['http://[::1]:8080']],
])('settings: origins %s are taken as browsers write them', (ASK_CORS_ORIGINS, origins) => {
  expect(readConfig({ ASK_CORS_ORIGINS }).ASK_CORS_ORIGINS).toEqual(origins);
});

test.each([
  '*',
  'https://*.example',
  'null',
  'app.example',
  'https://a/b',
  'https://a?',
  'https://u@a',
  'https://a,,https://b',
  'https://a:x',
])('settings: origins %s are refused', (ASK_CORS_ORIGINS) => {
  expect(() => readConfig({ ASK_CORS_ORIGINS })).toThrow(`ASK_CORS_ORIGINS=${ASK_CORS_ORIGINS}: must be origins`);
});

test('settings: no other origin may ask unless it is named', () => {
  expect(readConfig({}).ASK_CORS_ORIGINS).toEqual([]);
});
