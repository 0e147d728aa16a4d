/** Values of a model's input or output, row by row, with their shape. */
export interface Tensor {
  type: TensorType;
  shape: number[];
  data: TensorData;
}

/** By the names of the graph. */
export type Tensors = Record<string, Tensor>;

export const tensorTypes = ['uint8', 'int8', 'int32', 'int64', 'float16', 'float32'] as const;
export type TensorType = (typeof tensorTypes)[number];
export type TensorData = Uint8Array | Int8Array | Int32Array | BigInt64Array | Float16Array | Float32Array;

export const tensorArrays = {
  uint8: Uint8Array,
  int8: Int8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float16: Float16Array,
  float32: Float32Array,
} as const satisfies Record<TensorType, new (length: number) => TensorData>;

/** The free dimension over which items are batched. */
export const BATCH = 'batch';

/** Names of tensors, as graphs have them and headers carry them. */
export const TENSOR_NAME = /^(?!__proto__$)[\w./:-]{1,100}$/;
export const MAX_TENSORS = 16;
export const MAX_DIMENSIONS = 8;

/**
 * Whether a shape is the declared one, in which a name stands for any length. `lengths`: those that names stand for so
 * far; it learns the new ones, since one name has one length.
 */
export function fitsShape(shape: number[], declared: (number | string)[], lengths: Map<string, number>): boolean {
  return shape.length === declared.length && declared.every((side, i) => isLength(side, shape[i] as number, lengths));
}

function isLength(side: number | string, length: number, lengths: Map<string, number>): boolean {
  if (typeof side === 'number') return side === length;
  const known = lengths.get(side) ?? length;
  lengths.set(side, known);
  return known === length;
}
