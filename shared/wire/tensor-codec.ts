import { AppError } from '../request/errors.ts';
import { MAX_DIMENSIONS, MAX_TENSORS, TENSOR_NAME, type Tensor, type Tensors, tensorArrays } from './tensor.ts';

/**
 * Named tensors as a body: their values one after the other, little-endian, in the order of the header
 * `tensors; NAME=TYPE[D0,D1,…]; …`.
 */
const TENSORS = 'tensors';

/** No `float32`: it doubles the bytes for digits that no model needs. */
const codes = { u8: 'uint8', i8: 'int8', i32: 'int32', i64: 'int64', f16: 'float16' } as const;
const names = { uint8: 'u8', int8: 'i8', int32: 'i32', int64: 'i64', float16: 'f16', float32: 'f16' } as const;

const LONGEST_HEADER = 4096;
const PART = /^([^=]+)=(u8|i8|i32|i64|f16)\[(\d{1,9}(?:,\d{1,9})*)\]$/;

/**
 * Tensors -> their header and bytes; float32 values travel as float16. Throws AppError `model-failed` naming a
 * tensor with values that float16 does not hold: NaN, infinite, or beyond 65504.
 */
export function encodeTensors(tensors: Tensors): { type: string; payload: Uint8Array } {
  const parts = Object.entries(tensors).map(([name, { type, shape, data }]) => {
    const bytes = type === 'float32' ? Float16Array.from(data as Float32Array) : data;
    if (bytes instanceof Float16Array && !bytes.every(Number.isFinite)) {
      throw new AppError('model-failed', `'${name}' holds values that float16 does not hold`);
    }
    return {
      text: `${name}=${names[type]}[${shape}]`,
      bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    };
  });
  const payload =
    parts.length === 1 ? (parts[0] as (typeof parts)[0]).bytes : Buffer.concat(parts.map(({ bytes }) => bytes));
  return { type: [TENSORS, ...parts.map(({ text }) => text)].join('; '), payload };
}

/** Whether a body's type is tensors. */
export function isTensors(type: string): boolean {
  return type === TENSORS || type.startsWith(`${TENSORS};`);
}

/** Throws AppError `invalid-body` naming what is wrong: the header, a name, a size, or a value that is no number. */
export function decodeTensors(type: string, payload: Uint8Array): Tensors {
  const wrong = (what: string) => new AppError('invalid-body', `the tensors cannot be read: ${what}`);
  if (type.length > LONGEST_HEADER)
    throw wrong(`their header has ${type.length} characters, at most ${LONGEST_HEADER}`);
  const [, ...parts] = type.split(/; */);
  if (parts.length === 0) throw wrong('there are none');
  if (parts.length > MAX_TENSORS) throw wrong(`there are ${parts.length}, at most ${MAX_TENSORS}`);
  const tensors: Tensors = {};
  let at = 0;
  for (const part of parts) {
    const [, name, code, sides] = PART.exec(part) ?? [];
    if (name === undefined || !TENSOR_NAME.test(name))
      throw wrong(`'${part.slice(0, 80)}' is not NAME=TYPE[D0,D1,…] with one of ${Object.keys(codes)}`);
    if (Object.hasOwn(tensors, name)) throw wrong(`'${name}' comes twice`);
    const shape = (sides as string).split(',').map(Number);
    if (shape.length > MAX_DIMENSIONS)
      throw wrong(`'${name}' has ${shape.length} dimensions, at most ${MAX_DIMENSIONS}`);
    const kind = codes[code as keyof typeof codes];
    const Values = tensorArrays[kind];
    const length = shape.reduce((product, side) => product * side, 1);
    const bytes = length * Values.BYTES_PER_ELEMENT;
    if (length === 0) throw wrong(`'${name}' is empty`);
    if (at + bytes > payload.length) throw wrong(`'${name}' takes ${bytes} bytes, ${payload.length - at} are left`);
    // A copy: values of several bytes must begin at a multiple of their size. `slice` of a Buffer copies nothing.
    const data = new Values(new Uint8Array(payload.subarray(at, at + bytes)).buffer);
    if (data instanceof Float16Array && !data.every(Number.isFinite))
      throw wrong(`'${name}' holds what is not a number`);
    tensors[name] = { type: kind, shape, data };
    at += bytes;
  }
  if (at !== payload.length) throw wrong(`${payload.length - at} bytes are left over`);
  return tensors;
}

/** Float16 tensors that `specs` declare as float32, as such: over the bus they travelled in half. */
export function widen(tensors: Tensors, specs: Record<string, { type: Tensor['type'] }>): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      if (tensor.type !== 'float16' || specs[name]?.type !== 'float32') return [name, tensor];
      return [name, { type: 'float32', shape: tensor.shape, data: Float32Array.from(tensor.data as Float16Array) }];
    }),
  );
}
