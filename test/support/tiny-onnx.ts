/**
 * Builds small ONNX models byte by byte, so that tests decide what a model answers. The protobuf field numbers are
 * those of onnx.proto3.
 *
 * The model: pixels uint8 [N, S, S, 3] -> mean colour [N, 3] in 0..255 -> logits [N, classes] = mean * weights + bias.
 */
export interface TinyModel {
  /** For each class, the weights of mean red, green and blue, and the bias. */
  rows: [red: number, green: number, blue: number, bias: number][];
  /** Also give an output `attention` [N, 3]. */
  attention?: boolean;
  /** Makes a run take longer: this many products of 256 x 256 matrices. */
  work?: number;
  /** Takes one picture at a time, as its input says, or as only a run of several shows. */
  single?: 'declared' | 'inside';
}

/** What such a model says of a picture that is one colour all over. */
export function tinyLogits({ rows }: TinyModel, [r, g, b]: [number, number, number]): number[] {
  return rows.map(([red, green, blue, bias]) => red * r + green * g + blue * b + bias);
}

const FLOAT = 1;
const UINT8 = 2;
const INT64 = 7;

export function buildTinyOnnx(size: number, model: TinyModel): Buffer {
  const classes = model.rows.length;
  const weights = [0, 1, 2].flatMap((channel) => model.rows.map((row) => row[channel] as number));
  const nodes = [
    node('Cast', ['pixels'], 'float', [attribute('to', FLOAT)]),
    node('ReduceMean', ['float', 'axes'], 'mean', [attribute('keepdims', 0)]),
    node('MatMul', [model.single === 'inside' ? 'row' : 'mean', 'weights'], 'product'),
    node('Add', ['product', 'bias'], model.work ? 'sum' : 'logits'),
  ];
  const initializers = [
    tensor('axes', INT64, [2], new BigInt64Array([1n, 2n])),
    tensor('weights', FLOAT, [3, classes], new Float32Array(weights)),
    tensor('bias', FLOAT, [classes], new Float32Array(model.rows.map((row) => row[3]))),
  ];
  const outputs = [value('logits', FLOAT, ['N', classes])];
  if (model.attention) {
    nodes.push(node('Identity', ['mean'], 'attention'));
    outputs.push(value('attention', FLOAT, ['N', 3]));
  }
  if (model.single === 'inside') {
    initializers.push(tensor('one', INT64, [2], new BigInt64Array([1n, 3n])));
    nodes.splice(2, 0, node('Reshape', ['mean', 'one'], 'row'));
  }
  if (model.work) {
    // The products depend on the input (times zero) and feed the output, so that nothing is folded away.
    initializers.push(
      tensor('square', FLOAT, [256, 256], new Float32Array(65_536).fill(1 / 256)),
      tensor('zero', FLOAT, [1], new Float32Array([0])),
      tensor('all', INT64, [2], new BigInt64Array([0n, 1n])),
    );
    nodes.push(
      node('ReduceMean', ['mean', 'all'], 'seed', [attribute('keepdims', 0)]),
      node('Add', ['square', 'seed'], 'p0'),
    );
    for (let i = 0; i < model.work; i++) nodes.push(node('MatMul', [`p${i}`, 'square'], `p${i + 1}`));
    nodes.push(
      node('ReduceMean', [`p${model.work}`, 'all'], 'spent', [attribute('keepdims', 0)]),
      node('Mul', ['spent', 'zero'], 'nothing'),
      node('Add', ['sum', 'nothing'], 'logits'),
    );
  }
  const graph = Buffer.concat([
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, 'tiny'),
    ...initializers.map((bytes) => field(5, bytes)),
    field(11, value('pixels', UINT8, [model.single === 'declared' ? 1 : 'N', size, size, 3])),
    ...outputs.map((bytes) => field(12, bytes)),
  ]);
  const opset = Buffer.concat([field(1, ''), varintField(2, 18)]);
  return Buffer.concat([varintField(1, 8), field(7, graph), field(8, opset)]);
}

function node(operator: string, inputs: string[], output: string, attributes: Buffer[] = []): Buffer {
  const parts = [
    ...inputs.map((input) => field(1, input)),
    field(2, output),
    field(3, `make-${output}`),
    field(4, operator),
  ];
  return Buffer.concat([...parts, ...attributes.map((bytes) => field(5, bytes))]);
}

function attribute(name: string, int: number): Buffer {
  return Buffer.concat([field(1, name), varintField(3, int), varintField(20, 2)]);
}

function tensor(name: string, type: number, dims: number[], data: Float32Array | BigInt64Array): Buffer {
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([
    ...dims.map((dim) => varintField(1, dim)),
    varintField(2, type),
    field(8, name),
    field(9, raw),
  ]);
}

function value(name: string, type: number, dims: (number | string)[]): Buffer {
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
