import { type Tensor, type Tensors, tensorArrays } from '../../wire/tensor.ts';

/** Whether two items have equal shapes, without which they cannot share a tensor. */
export function haveShapesOf(inputs: Tensors, others: Tensors): boolean {
  return Object.entries(inputs).every(([name, { shape }]) => shape.join() === others[name]?.shape.join());
}

/** Joins the inputs of several items for one run. */
export function joinInputs(items: Tensors[]): Tensors {
  const [first] = items as [Tensors];
  if (items.length === 1) return first;
  return Object.fromEntries(
    Object.entries(first).map(([name, { type, shape, data }]) => {
      // Not by `data.constructor`: pixels may be a Buffer, whose constructor is deprecated.
      const joined = new tensorArrays[type](data.length * items.length);
      items.forEach((item, i) => void joined.set((item[name] as Tensor).data as never, i * data.length));
      return [name, { type, shape: [items.length, ...shape.slice(1)], data: joined }];
    }),
  );
}

/** The outputs of item `i` of a run of `count` items. */
export function outputsOf(outputs: Tensors, i: number, count: number): Tensors {
  if (count === 1) return outputs;
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { type, shape, data }]) => {
      const length = data.length / count;
      const part = data.subarray(i * length, (i + 1) * length);
      return [name, { type, shape: [1, ...shape.slice(1)], data: part }];
    }),
  );
}
