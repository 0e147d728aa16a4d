import { describe, expect, test } from 'vitest';
import { haveShapesOf, joinInputs, outputsOf } from '../../../../shared/inference/batching/join.ts';
import type { Tensors } from '../../../../shared/wire/tensor.ts';

const item = (...values: number[]): Tensors => ({
  tokens: { type: 'float32', shape: [1, values.length], data: Float32Array.from(values) },
  mask: { type: 'int64', shape: [1, 1], data: BigInt64Array.of(BigInt(values.length)) },
});

describe('join', () => {
  test('the inputs of several items lie one behind the other, by name', () => {
    expect(joinInputs([item(1, 2), item(3, 4), item(5, 6)])).toEqual({
      tokens: { type: 'float32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      mask: { type: 'int64', shape: [3, 1], data: BigInt64Array.of(2n, 2n, 2n) },
    });
  });

  test('the inputs of one item are not copied', () => {
    const one = item(1, 2);
    expect(joinInputs([one])).toBe(one);
  });

  test('each item gets its own outputs back', () => {
    const outputs: Tensors = {
      logits: { type: 'float32', shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      sure: { type: 'uint8', shape: [3], data: Uint8Array.of(7, 8, 9) },
    };
    expect([0, 1, 2].map((i) => outputsOf(outputs, i, 3))).toEqual([part([1, 2], 7), part([3, 4], 8), part([5, 6], 9)]);
  });

  test('the outputs of a run of one item are its own', () => {
    const outputs = part([1, 2], 7);
    expect(outputsOf(outputs, 0, 1)).toBe(outputs);
  });

  test('items of the same shapes can be joined, of unlike shapes or names not', () => {
    expect(haveShapesOf(item(1, 2), item(3, 4))).toBe(true);
    expect(haveShapesOf(item(1, 2), item(3, 4, 5))).toBe(false);
    const { tokens } = item(1, 2);
    expect(haveShapesOf(item(1, 2), { tokens: tokens as NonNullable<typeof tokens> })).toBe(false);
  });
});

function part(logits: number[], sure: number): Tensors {
  return {
    logits: { type: 'float32', shape: [1, 2], data: Float32Array.from(logits) },
    sure: { type: 'uint8', shape: [1], data: Uint8Array.of(sure) },
  };
}
