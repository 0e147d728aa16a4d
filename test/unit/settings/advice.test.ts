import { describe, expect, test } from 'vitest';
import { adviseSettings, flagsTakenByNpm } from '../../../shared/settings/advice.ts';

describe('advice: arguments that are meant as settings', () => {
  test.each([
    [['--port', '18201'], 'PORT=18201 npm start'],
    [['--port=18201', '--log-level', 'debug'], 'PORT=18201 LOG_LEVEL=debug npm start'],
    [['PORT=18201'], 'PORT=18201 npm start'],
    [['--deadline-ms=5'], 'ASK_DEADLINE_MS=5 npm start'],
    [['--nats-password', 'secret'], 'ASK_NATS_PASSWORD=... npm start'],
    [['--loud'], 'PORT=8080 npm start'],
  ])('%j', (args, example) => {
    expect(adviseSettings('npm start', args)).toBe(
      `settings are given in the environment, before the command: ${example}`,
    );
  });

  test('are seen although npm took them', () => {
    expect(flagsTakenByNpm({ npm_config_port: 'true', npm_config_models_dir: 'x', npm_config_cache: 'y' })).toEqual([
      '--port',
      '--models-dir=x',
    ]);
  });
});
