import { expect, test } from 'vitest';
import type { TensorSpec } from '../../../shared/bundle/model.ts';
import { findMistake } from '../../../shared/inference/match-inputs.ts';
import type { Tensors } from '../../../shared/wire/tensor.ts';

const inputs: Record<string, TensorSpec> = {
  tokens: { type: 'float16', shape: ['batch', 'tokens', 2] },
  places: { type: 'uint8', shape: ['batch', 'tokens'] },
};
const model = { inputs, free: { tokens: { min: 2, max: 9 } } };
const good = (count = 3): Tensors => ({
  tokens: { type: 'float16', shape: [1, count, 2], data: new Float16Array(count * 2) },
  places: { type: 'uint8', shape: [1, count], data: new Uint8Array(count) },
});

test('inputs: tensors of the declared names, types and shapes are taken, whatever a free dimension is', () => {
  expect(findMistake(good(), model)).toBeUndefined();
  expect(findMistake(good(7), model)).toBeUndefined();
});

test.each<[string, (tensors: Tensors) => Tensors, string]>([
  ['a missing one', ({ tokens }) => ({ tokens }) as Tensors, "the input 'places' is missing"],
  [
    'an unknown one',
    (all) => ({ ...all, more: all.places as never }),
    "there is no input 'more', there are tokens, places",
  ],
  [
    'a name of every object',
    (all) => ({ ...all, constructor: all.places as never }),
    "there is no input 'constructor'",
  ],
  [
    'another type',
    (all) => ({ ...all, places: { type: 'int8', shape: [1, 3], data: new Int8Array(3) } }),
    "the input 'places' is int8, expected uint8",
  ],
  [
    'another number of dimensions',
    (all) => ({ ...all, places: { type: 'uint8', shape: [3], data: new Uint8Array(3) } }),
    "the input 'places' is [3], expected [batch,tokens]",
  ],
  [
    'more than one item',
    (all) => ({ ...all, places: { type: 'uint8', shape: [2, 3], data: new Uint8Array(6) } }),
    "the input 'places' is [2,3], expected [batch,tokens]",
  ],
  [
    'one free dimension with two lengths',
    (all) => ({ ...all, places: { type: 'uint8', shape: [1, 4], data: new Uint8Array(4) } }),
    "the input 'places' is [1,4], expected [batch,tokens]",
  ],
  ['a free dimension out of its bounds', () => good(10), "'tokens' is 10, expected 2 to 9"],
  [
    'values that do not fill the shape',
    (all) => ({ ...all, places: { type: 'uint8', shape: [1, 3], data: new Uint8Array(2) } }),
    "the input 'places' has 2 values, expected 3",
  ],
  ['no own property of a name', ({ tokens }) => Object.create({ tokens, places: tokens }) as Tensors, 'is missing'],
])('inputs: %s is refused by name', (_, change, message) => {
  expect(findMistake(change(good()), model)).toContain(message);
});
