const HTTP = 'HTTP alone';

/** Every error that a caller can get, over HTTP (RFC 9457) or the bus: a stable code, an HTTP status and a title. */
const table = {
  'empty-body': [400, 'The request has no image'],
  'invalid-body': [400, 'The request body cannot be read'],
  'not-an-image': [400, 'The data is not an image'],
  'too-many-pictures': [400, 'The request has more than one image', HTTP],
  'corrupt-image': [400, 'The image is damaged or cut short'],
  'damaged-image': [400, 'A part of the image is missing or broken', HTTP],
  'bad-request': [400, 'The request cannot be understood', HTTP],
  'missing-key': [401, 'An API key is needed', HTTP],
  'unknown-key': [403, 'The API key is not accepted', HTTP],
  'not-found': [404, 'There is nothing at this address', HTTP],
  'method-not-allowed': [405, 'This address does not take that method', HTTP],
  'request-timeout': [408, 'The request took too long to arrive', HTTP],
  'other-model': [409, 'Another model answers here'],
  'payload-too-large': [413, 'The request has too many bytes', HTTP],
  'too-many-pixels': [413, 'The image has too many pixels'],
  'too-slow-to-decode': [413, 'The image takes longer to decode than there is time'],
  'unsupported-media-type': [415, 'This kind of data is not accepted'],
  'unsupported-encoding': [415, 'This content coding is not undone here', HTTP],
  'invalid-parameter': [422, 'A parameter has an impossible value'],
  'headers-too-large': [431, 'The request has too many bytes of headers', HTTP],
  'rate-limited': [429, 'The API key is used too often', HTTP],
  overloaded: [429, 'Too much is waiting already'],
  'client-closed': [499, 'The caller has gone'],
  internal: [500, 'Something broke on our side'],
  'model-failed': [500, 'The model could not be run'],
  stopping: [503, 'The service is stopping'],
  starting: [503, 'The service is starting', HTTP],
  'deadline-exceeded': [504, 'The deadline passed before an answer'],
} as const satisfies Record<string, readonly [status: number, title: string, where?: typeof HTTP]>;

export type ErrorCode = keyof typeof table;
export const errorCodes = Object.keys(table) as [ErrorCode, ...ErrorCode[]];
/** The codes that an expert may answer with. */
export const expertsCodes = errorCodes.filter((code) => !(table[code] as readonly unknown[]).includes(HTTP));

/** An error with a code from the table; `message` is safe to show to the caller. */
export class AppError extends Error {
  readonly code: ErrorCode;
  /** When a retry may help, in milliseconds from now; for codes that have it. */
  readonly retryAfterMs: number;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { retryAfterMs?: number }) {
    // No stack: nobody reads it, and collecting it is most of the cost of a refusal under overload.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'AppError';
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs ?? 1000;
  }

  get status(): number {
    return table[this.code][0];
  }

  get title(): string {
    return table[this.code][1];
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(table, code);
}

/** Wraps whatever was thrown. The text of an unknown error is not shown to callers. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError('internal', 'unexpected failure, see the log', { cause: thrown });
}
