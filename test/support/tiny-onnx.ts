import { attribute, FLOAT, model as file, INT64, node, tensor, UINT8, value } from './onnx-bytes.ts';

/**
 * Builds small ONNX models, so that tests decide what a model answers.
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
  const side = model.single === 'declared' ? 1 : 'N';
  return file({ nodes, initializers, inputs: [value('pixels', UINT8, [side, size, size, 3])], outputs });
}

/**
 * A model of two tensors: tokens float32 [N, T, 3] and scale float32 [N, 1] -> logits [N, classes], the mean token
 * times the scale, times weights. The number of tokens T is free.
 */
export function buildTokensOnnx(weights: [number, number, number][]): Buffer {
  const classes = weights.length;
  const columns = [0, 1, 2].flatMap((channel) => weights.map((row) => row[channel] as number));
  return file({
    nodes: [
      node('ReduceMean', ['tokens', 'axes'], 'mean', [attribute('keepdims', 0)]),
      node('Mul', ['mean', 'scale'], 'scaled'),
      node('MatMul', ['scaled', 'weights'], 'logits'),
    ],
    initializers: [
      tensor('axes', INT64, [1], new BigInt64Array([1n])),
      tensor('weights', FLOAT, [3, classes], new Float32Array(columns)),
    ],
    inputs: [value('tokens', FLOAT, ['N', 'T', 3]), value('scale', FLOAT, ['N', 1])],
    outputs: [value('logits', FLOAT, ['N', classes])],
  });
}
