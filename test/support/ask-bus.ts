import type { Bus, BusError } from '../../shared/bus/bus.ts';

export const subject = 'ask.v1.expert.one.classify';
export const payload = Buffer.from('pixels');
export const echo = async (message: { payload: Uint8Array; headers: Record<string, string> }) => ({
  payload: message.payload,
  headers: { got: message.headers.sent ?? '' },
});

export const ask = (bus: Bus, timeoutMs = 5000, signal?: AbortSignal) =>
  bus.request(subject, payload, { headers: { sent: 'yes' }, timeoutMs, ...(signal ? { signal } : {}) });

export const failureOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 'none',
    (error: BusError) => error.failure,
  );
