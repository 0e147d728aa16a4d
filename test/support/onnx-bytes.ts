/** Pieces of an ONNX file, byte by byte. The protobuf field numbers are those of onnx.proto3. */
export const FLOAT = 1;
export const UINT8 = 2;
export const INT64 = 7;

export interface Graph {
  nodes: Buffer[];
  initializers: Buffer[];
  inputs: Buffer[];
  outputs: Buffer[];
}

/** The file of a graph. */
export function model({ nodes, initializers, inputs, outputs }: Graph): Buffer {
  const graph = Buffer.concat([
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, 'tiny'),
    ...initializers.map((bytes) => field(5, bytes)),
    ...inputs.map((bytes) => field(11, bytes)),
    ...outputs.map((bytes) => field(12, bytes)),
  ]);
  const opset = Buffer.concat([field(1, ''), varintField(2, 18)]);
  return Buffer.concat([varintField(1, 8), field(7, graph), field(8, opset)]);
}

export function node(operator: string, inputs: string[], output: string, attributes: Buffer[] = []): Buffer {
  const parts = [
    ...inputs.map((input) => field(1, input)),
    field(2, output),
    field(3, `make-${output}`),
    field(4, operator),
  ];
  return Buffer.concat([...parts, ...attributes.map((bytes) => field(5, bytes))]);
}

export function attribute(name: string, int: number): Buffer {
  return Buffer.concat([field(1, name), varintField(3, int), varintField(20, 2)]);
}

export function tensor(name: string, type: number, dims: number[], data: Float32Array | BigInt64Array): Buffer {
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([
    ...dims.map((dim) => varintField(1, dim)),
    varintField(2, type),
    field(8, name),
    field(9, raw),
  ]);
}

export function value(name: string, type: number, dims: (number | string)[]): Buffer {
  const shape = dims.map((dim) => field(1, typeof dim === 'string' ? field(2, dim) : varintField(1, dim)));
  const tensorType = Buffer.concat([varintField(1, type), field(2, Buffer.concat(shape))]);
  return Buffer.concat([field(1, name), field(2, field(1, tensorType))]);
}

function field(number: number, content: Buffer | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varintField(number: number, content: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(content)]);
}

function varint(content: number): Buffer {
  const bytes = [];
  let rest = content;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}
