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
