import { describe, expect, test } from 'vitest';
import type { Tensors } from '../../../shared/wire/tensor.ts';
import { decodeTensors, encodeTensors, widen } from '../../../shared/wire/tensor-codec.ts';

const all: Tensors = {
  bytes: { type: 'uint8', shape: [1, 3], data: Uint8Array.of(0, 128, 255) },
  signed: { type: 'int8', shape: [2], data: Int8Array.of(-128, 127) },
  wide: { type: 'int32', shape: [2], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
  widest: { type: 'int64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
  half: { type: 'float16', shape: [2, 2], data: Float16Array.of(1.5, -2.25, 65504, 0) },
};

function failureOf(type: string, payload: Uint8Array): string {
  try {
    decodeTensors(type, payload);
    return 'accepted';
  } catch (error) {
    expect((error as { code: string }).code).toBe('invalid-body');
    return (error as Error).message;
  }
}

describe('tensors: round trip', () => {
  test('every type, names, shapes and order', () => {
    const { type, payload } = encodeTensors(all);
    expect(type).toBe('tensors; bytes=u8[1,3]; signed=i8[2]; wide=i32[2]; widest=i64[1]; half=f16[2,2]');
    expect(decodeTensors(type, payload)).toEqual(all);
    expect(Object.keys(decodeTensors(type, payload))).toEqual(Object.keys(all));
  });

  test('float32 travels as float16, and is widened where that is declared', () => {
    const { type, payload } = encodeTensors({ x: { type: 'float32', shape: [2], data: Float32Array.of(0.1, 3) } });
    const decoded = decodeTensors(type, payload);
    expect([payload.length, decoded.x?.type]).toEqual([4, 'float16']);
    const widened = widen(decoded, { x: { type: 'float32' } });
    expect(widened.x).toEqual({ type: 'float32', shape: [2], data: Float32Array.of(Math.f16round(0.1), 3) });
    expect(widen(decoded, {})).toEqual(decoded);
  });

  test('bytes that lie at an odd place of a larger buffer', () => {
    const { type, payload } = encodeTensors(all);
    const pool = Buffer.alloc(payload.length + 7, 99);
    pool.set(payload, 3);
    expect(decodeTensors(type, pool.subarray(3, 3 + payload.length))).toEqual(all);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 65520])('a value of %d is not sent', (value) => {
    const x = { type: 'float32' as const, shape: [1], data: Float32Array.of(value) };
    expect(() => encodeTensors({ x })).toThrow("'x' holds values that float16 does not hold");
  });
});

describe('tensors: malformed ones are refused by name', () => {
  const bytes = (length: number) => new Uint8Array(length);
  test.each<[string, string, Uint8Array, string]>([
    ['none', 'tensors', bytes(0), 'there are none'],
    ['too few bytes', 'tensors; x=f16[1,3]', bytes(5), "'x' takes 6 bytes, 5 are left"],
    ['too many bytes', 'tensors; x=u8[2]; y=u8[1]', bytes(4), '1 bytes are left over'],
    ['one name twice', 'tensors; x=u8[1]; x=u8[1]', bytes(2), "'x' comes twice"],
    ['an unknown type', 'tensors; x=f64[1]', bytes(8), "'x=f64[1]' is not NAME=TYPE[D0,D1,…]"],
    ['no shape', 'tensors; x=u8', bytes(1), "'x=u8' is not NAME=TYPE[D0,D1,…]"],
    ['a negative side', 'tensors; x=u8[-1]', bytes(1), 'is not NAME=TYPE'],
    ['a side of zero', 'tensors; x=u8[0]', bytes(0), "'x' is empty"],
    ['an absurd size', 'tensors; x=u8[999999999,999999999]', bytes(8), "'x' takes 999999998000000000 bytes"],
    ['sides whose product is infinite', `tensors; x=f16[${Array(8).fill(999999999)}]`, bytes(8), "'x' takes"],
    ['too many dimensions', `tensors; x=u8[${Array(9).fill(1)}]`, bytes(1), "'x' has 9 dimensions, at most 8"],
    [
      'too many tensors',
      ['tensors', ...Array.from({ length: 17 }, (_, i) => `x${i}=u8[1]`)].join('; '),
      bytes(17),
      'there are 17, at most 16',
    ],
    ['a long header', `tensors; ${'x'.repeat(5000)}=u8[1]`, bytes(1), 'their header has 5015 characters'],
    ['a name of every object', 'tensors; __proto__=u8[1]', bytes(1), 'is not NAME=TYPE'],
    ['NaN', 'tensors; x=f16[1]', Uint8Array.of(0, 0x7e), "'x' holds what is not a number"],
    ['an infinity', 'tensors; x=f16[1]', Uint8Array.of(0, 0x7c), "'x' holds what is not a number"],
  ])('%s', (_, type, payload, message) => {
    expect(failureOf(type, payload)).toContain(message);
  });

  test('constructor is a name like any other', () => {
    expect(failureOf('tensors; constructor=u8[1]', bytes(1))).toBe('accepted');
  });
});
