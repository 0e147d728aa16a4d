import { expect, test } from 'vitest';
import { sizeOnBus } from '../../../shared/wire/message.ts';

test('message: sizeOnBus counts what NATS writes', () => {
  expect(sizeOnBus({ payload: new Uint8Array(10), headers: { a: 'bc' } })).toBe(
    10 + 'NATS/1.0\r\na: bc\r\n\r\n'.length,
  );
});
