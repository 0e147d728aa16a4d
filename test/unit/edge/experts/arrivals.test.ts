import { expect, test } from 'vitest';
import { watchArrivals } from '../../../../services/edge/experts/arrivals.ts';
import { createDirectory } from '../../../../services/edge/experts/directory.ts';
import { createMemoryBus } from '../../../../shared/bus/memory.ts';
import { keepLines } from '../../../support/log-lines.ts';
import { waitFor } from '../../../support/wait.ts';

const { signal } = new AbortController();

function setUp(ids: string[], graceMs: number) {
  const bus = createMemoryBus();
  const { log, of } = keepLines();
  const experts = ids.map((id) => ({ id, sha256: `digest of ${id}` }));
  const arrivals = watchArrivals({ bus, directory: createDirectory(bus), experts, graceMs, log });
  const come = (expert: string, digest = `digest of ${expert}`) => {
    const pong = Buffer.from(JSON.stringify({ id: '1', metadata: { expert, digest } }));
    return bus.subscribe('$SRV.PING.ask-expert', (message) => message.respond(pong, {}));
  };
  return { arrivals, come, of };
}

test('arrivals: a wait ends when its expert comes; one that has gone again is not expected any more', async () => {
  const { arrivals, come } = setUp(['warm', 'cold'], 60_000);
  expect([arrivals.expects('warm'), arrivals.expects('other')]).toEqual([true, false]);
  const waiting = arrivals.wait(['warm'], 60_000, signal);
  const gone = come('warm');
  expect(await waiting).toBe(true);
  expect([arrivals.expects('warm'), arrivals.expects('cold')]).toEqual([false, true]);
  await gone.drain();
  expect(arrivals.expects('warm')).toBe(false);
  arrivals.stop();
});

test('arrivals: a wait ends at its limit, and when its caller has gone', async () => {
  const { arrivals } = setUp(['warm'], 60_000);
  expect(await arrivals.wait(['warm'], 30, signal)).toBe(false);
  const caller = new AbortController();
  const waiting = arrivals.wait(['warm'], 60_000, caller.signal);
  caller.abort();
  expect(await waiting).toBe(false);
  arrivals.stop();
});

test('arrivals: an expert that does not come is expected for the grace period, then logged as missing', async () => {
  const { arrivals, of } = setUp(['warm', 'cold'], 100);
  expect(await arrivals.wait(['warm'], 60_000, signal)).toBe(true); // there is no more to wait for
  expect(arrivals.expects('warm')).toBe(false);
  await waitFor(() => of('experts are missing: answers do not wait for them any more').length === 1, 'the line');
});

test('arrivals: an expert of another bundle does not count as come', async () => {
  const { arrivals, come } = setUp(['warm'], 60_000);
  come('warm', 'another digest');
  expect(await arrivals.wait(['warm'], 500, signal)).toBe(false);
  expect(arrivals.expects('warm')).toBe(true);
  const ours = arrivals.wait(['warm'], 60_000, signal);
  come('warm');
  expect(await ours).toBe(true);
  arrivals.stop();
});

test('arrivals: stopping ends every wait', async () => {
  const { arrivals } = setUp(['warm'], 60_000);
  const waiting = arrivals.wait(['warm'], 60_000, signal);
  arrivals.stop();
  expect(await waiting).toBe(true);
  expect(arrivals.expects('warm')).toBe(false);
});

test('arrivals: a wait for an expert that is not expected ends at once', async () => {
  const { arrivals } = setUp([], 60_000);
  expect(arrivals.expects('warm')).toBe(false);
  expect(await arrivals.wait(['warm'], 60_000, signal)).toBe(true);
});
