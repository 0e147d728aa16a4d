import { describe, expect, test } from 'vitest';
import { type Config, readConfig } from '../../../shared/settings/settings.ts';

describe('settings: values are taken as platforms and people write them', () => {
  test.each<[Record<string, string>, Partial<Config>]>([
    [{ LOG_LEVEL: 'INFO' }, { LOG_LEVEL: 'info' }],
    [{ LOG_LEVEL: 'Warn' }, { LOG_LEVEL: 'warn' }],
    [{ LOG_LEVEL: 'WARNING' }, { LOG_LEVEL: 'warn' }],
    [{ ASK_ALLOW_ANONYMOUS: 'True' }, { ASK_ALLOW_ANONYMOUS: true }],
    [{ ASK_ALLOW_ANONYMOUS: 'yes' }, { ASK_ALLOW_ANONYMOUS: true }],
    [{ ASK_ALLOW_ANONYMOUS: '1' }, { ASK_ALLOW_ANONYMOUS: true }],
    [{ ASK_SECOND_CHOICE: 'FALSE' }, { ASK_SECOND_CHOICE: false }],
    [{ ASK_SECOND_CHOICE: 'off' }, { ASK_SECOND_CHOICE: false }],
    [{ ASK_SECOND_CHOICE: '0' }, { ASK_SECOND_CHOICE: false }],
    [{ PORT: '8081 ' }, { PORT: 8081 }],
    [{ PORT: '\t8081\r' }, { PORT: 8081 }],
    [{ PORT: ' ' }, { PORT: 8080 }],
    [{ HOST: 'LOCALHOST\r\n' }, { HOST: 'localhost' }],
    [{ ASK_MODELS_DIR: ' models/mine\r' }, { ASK_MODELS_DIR: 'models/mine' }],
    [{ ASK_EXPERTS: 'warm , cold' }, { ASK_EXPERTS: 'warm,cold' }],
    [{ ASK_EXECUTION_PROVIDERS: 'CUDA, cpu' }, { ASK_EXECUTION_PROVIDERS: ['cuda', 'cpu'] }],
    [{ ASK_EXECUTION_PROVIDERS: 'CPUExecutionProvider' }, { ASK_EXECUTION_PROVIDERS: ['cpu'] }],
    [{ NATS_URL: 'NATS://a:4222/' }, { NATS_URL: 'nats://a:4222' }],
    [{ NATS_URL: 'Tls://[::1]:4222//' }, { NATS_URL: 'tls://[::1]:4222' }],
    [{ NATS_URL: 'nats://a, nats://b ,c:1\r' }, { NATS_URL: 'nats://a,nats://b,c:1' }],
    [{ NATS_URL: 'nats://my_broker:4222' }, { NATS_URL: 'nats://my_broker:4222' }],
  ])('%j', (env, expected) => {
    expect(readConfig(env)).toMatchObject(expected);
  });

  test.each<[string, string, string | undefined, string | undefined]>([
    ['nats://edge:s3cret@a:4222', 'nats://a:4222', 'edge', 's3cret'],
    ['edge:s3cret@a', 'a', 'edge', 's3cret'],
    ['nats://edge:p%40%2Fss@a', 'nats://a', 'edge', 'p@/ss'],
    ['nats://edge:p@ss@a', 'nats://a', 'edge', 'p@ss'],
    ['nats://edge:@a', 'nats://a', 'edge', ''],
    ['nats://edge:x@a,nats://b', 'nats://a,nats://b', 'edge', 'x'],
    ['nats://a', 'nats://a', undefined, undefined],
  ])('name and password in NATS_URL=%s', (NATS_URL, servers, user, password) => {
    const config = readConfig({ NATS_URL });
    expect([config.NATS_URL, config.ASK_NATS_USER, config.ASK_NATS_PASSWORD]).toEqual([servers, user, password]);
  });

  test('name and password in the address may be repeated in the settings', () => {
    const env = { NATS_URL: 'nats://edge:s@a', ASK_NATS_USER: 'edge', ASK_NATS_PASSWORD: 's' };
    expect(readConfig(env)).toMatchObject({ NATS_URL: 'nats://a', ASK_NATS_USER: 'edge', ASK_NATS_PASSWORD: 's' });
  });

  test('blanks belong to a password', () => {
    expect(readConfig({ ASK_NATS_USER: 'u', ASK_NATS_PASSWORD: ' p ' }).ASK_NATS_PASSWORD).toBe(' p ');
  });

  test('what Kubernetes says of Services named ask-… is ignored, also where it bears the name of a setting', () => {
    const edge = {
      ASK_EDGE_SERVICE_HOST: '10.43.0.7',
      ASK_EDGE_SERVICE_PORT: '80',
      ASK_EDGE_SERVICE_PORT_HTTP: '80',
      ASK_EDGE_PORT: 'tcp://10.43.0.7:80',
      ASK_EDGE_PORT_80_TCP: 'tcp://10.43.0.7:80',
      ASK_EDGE_PORT_80_TCP_PROTO: 'tcp',
      ASK_EDGE_PORT_80_TCP_PORT: '80',
      ASK_EDGE_PORT_80_TCP_ADDR: '10.43.0.7',
      ASK_HEALTH_SERVICE_HOST: '10.43.0.8',
      ASK_HEALTH_PORT: 'tcp://10.43.0.8:8081',
      ASK_A_B_C_PORT_53_UDP_PROTO: 'udp',
    };
    expect(readConfig(edge)).toEqual(readConfig({}));
  });
});

describe('settings: a mistake is shown as it was written', () => {
  test.each<[Record<string, string>, string]>([
    [{ PORT: '80x\r' }, 'PORT=80x\\r: must be a whole number in digits, without a unit or separators'],
    [{ PORT: '8\u200b1' }, 'PORT=8\\u{200b}1: must be a whole number'],
    [{ ASK_DEADLINE_MS: '2s' }, 'ASK_DEADLINE_MS=2s: must be a whole number'],
    [{ ASK_MAX_BODY_BYTES: '10_000' }, 'ASK_MAX_BODY_BYTES=10_000: must be a whole number'],
    [{ ASK_MAX_BODY_BYTES: '20MB' }, 'ASK_MAX_BODY_BYTES=20MB: must be a whole number'],
    [{ PORT: '70000' }, 'PORT=70000: Too big'],
    [{ HOST: 'a\nb' }, 'HOST=a\\nb: holds \\n: remove it'],
    [{ HOST: `a${'b'.repeat(1000)}\0` }, `HOST=a${'b'.repeat(99)}...: holds \\u{0}: remove it`],
    [{ PORT: '"8080"' }, 'PORT="8080": has quotes around it'],
    [{ LOG_LEVEL: "'info'" }, "LOG_LEVEL='info': has quotes around it"],
    [{ ASK_SECOND_CHOICE: 'maybe' }, 'ASK_SECOND_CHOICE=maybe: must be true or false'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL=loud: must be one of fatal, error, warn, info, debug, trace, silent'],
    [{ ASK_NATS_USER: 'u', ASK_NATS_PASSWORD: 'secret\r' }, '  ASK_NATS_PASSWORD: holds \\r: remove it'],
    [{ NATS_URL: 'ws://a:8080' }, 'NATS_URL: ws:// is not spoken: give nats:// or tls://'],
    [{ NATS_URL: 'WSS://a' }, 'NATS_URL: wss:// is not spoken'],
    [{ NATS_URL: 'nats://token@a' }, 'NATS_URL: a token alone is not supported: give nats://name:password@host:port'],
    [{ NATS_URL: 'nats://u:p/q@a' }, 'NATS_URL: must be nats://host:port'],
    [{ NATS_URL: 'nats://u:%zz@a' }, 'NATS_URL: must be nats://host:port'],
    [{ NATS_URL: 'nats://::1:4222' }, 'IPv6 in brackets'],
    [{ NATS_URL: 'nats://u:p@a,nats://v:q@b' }, 'NATS_URL: all addresses must have the same name and password'],
    [{ NATS_URL: 'nats://u:p@a', ASK_NATS_USER: 'v' }, 'they contradict one another'],
    [{ NATS_URL: 'nats://u:p@a', ASK_NATS_PASSWORD: 'q' }, 'they contradict one another'],
    [{ NATS_URL: 'nats://u:p@a', ASK_NATS_NKEY_FILE: 'f' }, 'only one of them can be used'],
    [{ ASK_EDGE_HOST: 'x' }, 'ASK_EDGE_HOST: there is no such setting'],
    [{ ASK_EDGE_PORT: '8080' }, 'ASK_EDGE_PORT: there is no such setting'],
    [{ ASK_PORT: '8080' }, 'ASK_PORT: there is no such setting; did you mean PORT?'],
    [{ ASK_WORKER: '2' }, 'ASK_WORKER: there is no such setting; did you mean ASK_WORKERS?'],
    [{ ASK_HEALTH_PORT: '8080x' }, 'ASK_HEALTH_PORT=8080x: must be a whole number'],
    [{ 'ASK_A\rB': 'x' }, 'ASK_A\\rB: there is no such setting'],
  ])('%j', (env, mistake) => {
    expect(() => readConfig(env)).toThrow(mistake);
    expect(() => readConfig(env)).toThrow('the configuration has 1 mistake(s):\n');
  });
});
