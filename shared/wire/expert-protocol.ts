import { AppError, isErrorCode, toAppError } from '../request/errors.ts';
import { type Body, decodeBody, type EncodedBody, encodeBody, PAYLOAD } from './body.ts';
import type { Message } from './message.ts';
import { BATCH, fitsShape, type Tensor, type Tensors, type TensorType } from './tensor.ts';
import { decodeTensors, encodeTensors, isTensors, widen } from './tensor-codec.ts';

/**
 * The only file that knows subjects and headers of the expert protocol, version 1.
 *
 * A request carries a picture or tensors; `Ask-Payload` says which (`body.ts`). A reply to a picture carries the logits
 * as little-endian float16 in the order of the manifest's labels, a reply to tensors all outputs of the model, unless
 * `Ask-Outputs` names those that are wanted.
 */
export const EXPERT_QUEUE = 'experts';
export const SERVICE_NAME = 'ask-expert';

const DEADLINE = 'Ask-Deadline-Ms';
const REQUEST_ID = 'Ask-Request-Id';
const EXPERT_MS = 'Ask-Expert-Ms';
const MODEL_DIGEST = 'Ask-Model-Digest';
const OUTPUTS = 'Ask-Outputs';
const ERROR = 'Nats-Service-Error';
const ERROR_CODE = 'Nats-Service-Error-Code';
const LOGITS_F16 = 'logits/f16';
export interface ClassifyRequest {
  requestId: string;
  /** Milliseconds that the receiver has left. */
  deadlineMs: number;
  /** The first hex digits of the digest of the model that must answer. */
  modelDigest?: string | undefined;
  body: Body;
  /** Names of the outputs that the reply shall hold; undefined: the logits for a picture, all for tensors. */
  outputs?: string[] | undefined;
}

export interface ClassifyReply {
  /** By name; of a reply to a picture the logits alone, one per label of the bundle. */
  outputs: Tensors;
  /** Milliseconds between the arrival at the expert and its reply. */
  expertMs: number;
  modelDigest: string;
}

export function classifySubject(expertId: string): string {
  return `ask.v1.expert.${expertId}.classify`;
}

/** Cancels the request that the message names; it goes to every member of the queue group. */
export function cancelSubject(expertId: string): string {
  return `ask.v1.expert.${expertId}.cancel`;
}

export function encodeCancel(requestId: string): Message {
  return { payload: new Uint8Array(), headers: { [REQUEST_ID]: requestId } };
}

/** The id of the cancelled request; empty if the message names none. */
export function decodeCancel(message: Message): string {
  return message.headers[REQUEST_ID] ?? '';
}

export function encodeRequest(request: Omit<ClassifyRequest, 'body'> & { body: Body | EncodedBody }): Message {
  const { type, payload } = encodeBody(request.body);
  return {
    payload,
    headers: {
      [REQUEST_ID]: request.requestId,
      [DEADLINE]: String(Math.floor(request.deadlineMs)),
      [PAYLOAD]: type,
      ...(request.modelDigest !== undefined && { [MODEL_DIGEST]: request.modelDigest }),
      ...(request.outputs !== undefined && { [OUTPUTS]: request.outputs.join(' ') }),
    },
  };
}

/** Throws AppError `invalid-parameter`, `unsupported-media-type` or `invalid-body`. */
export function decodeRequest(message: Message): ClassifyRequest {
  const deadline = message.headers[DEADLINE] ?? '';
  if (!/^\d{1,9}$/.test(deadline)) {
    throw new AppError('invalid-parameter', `${DEADLINE} is '${deadline}', expected whole milliseconds`);
  }
  const { [REQUEST_ID]: requestId = '', [MODEL_DIGEST]: modelDigest, [OUTPUTS]: wanted } = message.headers;
  const outputs = wanted?.split(' ');
  return { requestId, deadlineMs: Number(deadline), modelDigest, body: decodeBody(message), outputs };
}

/** `asked`: the question that this answers. Throws AppError `model-failed` for values that float16 does not hold. */
export function encodeReply(reply: ClassifyReply, asked: Pick<ClassifyRequest, 'body' | 'outputs'>): Message {
  const { outputs, expertMs, modelDigest } = reply;
  const { type, payload } = encodeOutputs(outputs, asked);
  return {
    payload,
    headers: { [PAYLOAD]: type, [EXPERT_MS]: expertMs.toFixed(3), [MODEL_DIGEST]: modelDigest },
  };
}

function encodeOutputs(outputs: Tensors, asked: Pick<ClassifyRequest, 'body' | 'outputs'>): EncodedBody {
  if (asked.outputs)
    return encodeTensors(Object.fromEntries(asked.outputs.map((name) => [name, outputs[name] as Tensor])));
  const { logits } = outputs;
  return 'tensors' in asked.body || logits === undefined ? encodeTensors(outputs) : encodeLogits(logits);
}

function encodeLogits({ data }: Tensor): EncodedBody {
  return { type: LOGITS_F16, payload: new Uint8Array(Float16Array.from(data as Float32Array).buffer) };
}

/** Whether a message is a reply of this protocol at all: others may publish where replies come to. */
export function isAnswer({ headers }: Message): boolean {
  return headers[PAYLOAD] !== undefined || headers[ERROR] !== undefined;
}

/** The outputs that a reply must hold, by name: types and shapes; a name in a shape stands for any length. */
export type Expected = Record<string, { type: TensorType; shape: (number | string)[] }>;

/** Throws the AppError that the expert sent, or `model-failed` if the reply is not what is expected. */
export function decodeReply(reply: Message, expected: Expected): ClassifyReply {
  const code = reply.headers[ERROR];
  if (code !== undefined) {
    const message = `expert answered ${reply.headers[ERROR_CODE] ?? 'without a status'}: ${code}`;
    throw new AppError(isErrorCode(code) ? code : 'model-failed', message);
  }
  const expertMs = Number(reply.headers[EXPERT_MS]);
  return {
    outputs: readOutputs(reply, expected),
    expertMs: expertMs >= 0 && Number.isFinite(expertMs) ? expertMs : 0,
    modelDigest: reply.headers[MODEL_DIGEST] ?? '',
  };
}

function readOutputs({ headers, payload }: Message, expected: Expected): Tensors {
  const outputs = readAny(headers[PAYLOAD] ?? '', payload, expected);
  const lengths = new Map([[BATCH, 1]]);
  for (const [name, spec] of Object.entries(expected)) {
    const found = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
    if (found === undefined) throw new AppError('model-failed', `expert sent no '${name}'`);
    if (found.type !== spec.type || !fitsShape(found.shape, spec.shape, lengths)) {
      const [sent, wanted] = [`${found.type} [${found.shape}]`, `${spec.type} [${spec.shape}]`];
      throw new AppError('model-failed', `expert sent '${name}' as ${sent}, expected ${wanted}`);
    }
  }
  return outputs;
}

function readAny(type: string, payload: Uint8Array, expected: Expected): Tensors {
  if (!isTensors(type)) return { logits: readLogits(type, payload, expected.logits?.shape.at(-1)) };
  try {
    return widen(decodeTensors(type, payload), expected);
  } catch (error) {
    throw new AppError('model-failed', (error as Error).message, { cause: error });
  }
}

function readLogits(type: string, payload: Uint8Array, count: number | string | undefined): Tensor {
  if (type !== LOGITS_F16 || typeof count !== 'number' || payload.length !== count * 2) {
    throw new AppError('model-failed', `expert sent ${payload.length} bytes, expected ${count} float16 logits`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const data = Float32Array.from({ length: count }, (_, i) => view.getFloat16(i * 2, true));
  if (!data.every(Number.isFinite)) throw new AppError('model-failed', 'expert sent logits that are not finite');
  return { type: 'float32', shape: [1, count], data };
}

export function encodeError(thrown: unknown): Message {
  const error = toAppError(thrown);
  return { payload: new Uint8Array(), headers: { [ERROR]: error.code, [ERROR_CODE]: String(error.status) } };
}
