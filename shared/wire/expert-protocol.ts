import type { Reply } from '../bus/bus.ts';
import { AppError, isErrorCode, toAppError } from '../request/errors.ts';

/**
 * The only file that knows subjects, headers and bytes of the expert protocol, version 1.
 *
 * A request carries a picture as 8-bit RGB pixels, row by row, or as a JPEG, PNG or WebP file; `Ask-Payload` says
 * which. A reply carries the expert's logits as little-endian float16 in the order of the manifest's labels.
 */
export const EXPERT_QUEUE = 'experts';
export const SERVICE_NAME = 'ask-expert';

const PAYLOAD = 'Ask-Payload';
const DEADLINE = 'Ask-Deadline-Ms';
const REQUEST_ID = 'Ask-Request-Id';
const EXPERT_MS = 'Ask-Expert-Ms';
const MODEL_DIGEST = 'Ask-Model-Digest';
const ERROR = 'Nats-Service-Error';
const ERROR_CODE = 'Nats-Service-Error-Code';
const LOGITS_F16 = 'logits/f16';
/** Of pixels without a file around them; `; width=W; height=H` says their layout. */
export const PIXELS_TYPE = 'image/x-rgb8';
const RGB8 = /^image\/x-rgb8; *width=(\d{1,5}); *height=(\d{1,5})$/i;

/** 8-bit RGB, row by row: `pixels.length === width * height * 3`. */
export interface RawImage {
  pixels: Uint8Array;
  width: number;
  height: number;
}

export const mediaTypes = ['image/jpeg', 'image/png', 'image/webp'] as const;

/** A picture as a file's bytes. */
export interface EncodedImage {
  bytes: Uint8Array;
  type: (typeof mediaTypes)[number];
}

export interface ClassifyRequest {
  requestId: string;
  /** Milliseconds the receiver has left. */
  deadlineMs: number;
  /** The first hex digits of the model's digest that must answer. */
  modelDigest?: string | undefined;
  image: RawImage | EncodedImage;
}

export interface ClassifyReply {
  /** One per label of the bundle. */
  logits: Float32Array;
  /** Milliseconds between the arrival at the expert and its reply. */
  expertMs: number;
  modelDigest: string;
}

export function classifySubject(expertId: string): string {
  return `ask.v1.expert.${expertId}.classify`;
}

/** Who hears it stops working on the request that the message names; it goes to every member of the queue group. */
export function cancelSubject(expertId: string): string {
  return `ask.v1.expert.${expertId}.cancel`;
}

export function encodeCancel(requestId: string): Reply {
  return { payload: new Uint8Array(), headers: { [REQUEST_ID]: requestId } };
}

/** The request that is not wanted any more; empty if the message names none. */
export function decodeCancel(message: Reply): string {
  return message.headers[REQUEST_ID] ?? '';
}

export function encodeRequest(request: ClassifyRequest): Reply {
  const { image } = request;
  const [payload, layout] =
    'pixels' in image
      ? [image.pixels, `image/x-rgb8; width=${image.width}; height=${image.height}`]
      : [image.bytes, image.type];
  return {
    payload,
    headers: {
      [REQUEST_ID]: request.requestId,
      [DEADLINE]: String(Math.floor(request.deadlineMs)),
      [PAYLOAD]: layout,
      ...(request.modelDigest !== undefined && { [MODEL_DIGEST]: request.modelDigest }),
    },
  };
}

/** Throws AppError `invalid-parameter`, `unsupported-media-type` or `invalid-body`. */
export function decodeRequest(message: Reply): ClassifyRequest {
  const deadline = message.headers[DEADLINE] ?? '';
  if (!/^\d{1,9}$/.test(deadline)) {
    throw new AppError('invalid-parameter', `${DEADLINE} is '${deadline}', expected whole milliseconds`);
  }
  const { [REQUEST_ID]: requestId = '', [MODEL_DIGEST]: modelDigest } = message.headers;
  return { requestId, deadlineMs: Number(deadline), modelDigest, image: readPicture(message) };
}

function readPicture({ headers, payload }: Reply): RawImage | EncodedImage {
  const named = headers[PAYLOAD] ?? '';
  const type = mediaTypes.find((candidate) => candidate === named);
  if (type) return { bytes: payload, type };
  const image = readPixels(named, payload);
  if (image) return image;
  const known = [PIXELS_TYPE, ...mediaTypes].join(', ');
  throw new AppError('unsupported-media-type', `${PAYLOAD} is '${named}', expected one of ${known}`);
}

/**
 * Bytes as the picture that a type such as `image/x-rgb8; width=32; height=32` says they are; undefined if it is no
 * such type. Throws AppError `invalid-body` if they are more, fewer or none.
 */
export function readPixels(type: string, bytes: Uint8Array): RawImage | undefined {
  const layout = RGB8.exec(type);
  if (!layout) return undefined;
  const [width, height] = [Number(layout[1]), Number(layout[2])];
  if (bytes.length === 0 || bytes.length !== width * height * 3) {
    throw new AppError('invalid-body', `${bytes.length} bytes are not ${width} x ${height} RGB pixels`);
  }
  return { pixels: bytes, width, height };
}

export function encodeReply(reply: ClassifyReply): Reply {
  const view = new DataView(new ArrayBuffer(reply.logits.length * 2));
  reply.logits.forEach((logit, i) => {
    view.setFloat16(i * 2, logit, true);
  });
  return {
    payload: new Uint8Array(view.buffer),
    headers: { [PAYLOAD]: LOGITS_F16, [EXPERT_MS]: reply.expertMs.toFixed(3), [MODEL_DIGEST]: reply.modelDigest },
  };
}

/** Whether a message is a reply of this protocol at all: others may publish where replies come to. */
export function isAnswer({ headers }: Reply): boolean {
  return headers[PAYLOAD] !== undefined || headers[ERROR] !== undefined;
}

/** Throws the AppError that the expert sent, or `model-failed` if the reply is not `count` finite logits. */
export function decodeReply(reply: Reply, count: number): ClassifyReply {
  const code = reply.headers[ERROR];
  if (code !== undefined) {
    const message = `expert answered ${reply.headers[ERROR_CODE] ?? 'without a status'}: ${code}`;
    throw new AppError(isErrorCode(code) ? code : 'model-failed', message);
  }
  if (reply.headers[PAYLOAD] !== LOGITS_F16 || reply.payload.length !== count * 2) {
    throw new AppError('model-failed', `expert sent ${reply.payload.length} bytes, expected ${count} float16 logits`);
  }
  const view = new DataView(reply.payload.buffer, reply.payload.byteOffset, reply.payload.byteLength);
  const logits = Float32Array.from({ length: count }, (_, i) => view.getFloat16(i * 2, true));
  if (!logits.every(Number.isFinite)) throw new AppError('model-failed', 'expert sent logits that are not finite');
  const expertMs = Number(reply.headers[EXPERT_MS]);
  return {
    logits,
    expertMs: expertMs >= 0 && Number.isFinite(expertMs) ? expertMs : 0,
    modelDigest: reply.headers[MODEL_DIGEST] ?? '',
  };
}

export function encodeError(thrown: unknown): Reply {
  const error = toAppError(thrown);
  return { payload: new Uint8Array(), headers: { [ERROR]: error.code, [ERROR_CODE]: String(error.status) } };
}

/** Bytes of payload and headers as NATS writes them (`NATS/1.0`, one `key: value` a line, blank line). */
export function sizeOnBus(message: Reply): number {
  let bytes = 'NATS/1.0\r\n\r\n'.length + message.payload.length;
  for (const [key, value] of Object.entries(message.headers)) bytes += key.length + 2 + value.length + 2;
  return bytes;
}
