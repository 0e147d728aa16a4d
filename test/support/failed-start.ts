import { expect } from 'vitest';
import { spawnService } from './service.ts';

/** Starts a service that cannot start; resolves with what it says. */
export async function failedStart(name: 'edge' | 'expert' | 'local', env: Record<string, string>): Promise<string> {
  const apart = { NATS_URL: 'nats://127.0.0.1:1', PORT: '0', LOG_LEVEL: 'silent' };
  await using service = spawnService(name, { ...apart, ...env });
  expect(await service.exited).toBe(1);
  expect(service.log()).not.toMatch(/^\s+at /m);
  return service.log();
}
