import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode, toAppError } from '../../shared/errors.ts';
import type { EdgeMetrics } from '../../shared/metrics.ts';

/** Fastify's and its plugins' error codes that have a code of ours; other client errors are `invalid-body`. */
const translated: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload-too-large',
  FST_REQ_FILE_TOO_LARGE: 'payload-too-large',
  FST_ERR_VALIDATION: 'invalid-parameter',
};

const MEDIA_TYPES =
  'set content-type to image/jpeg, image/png or image/webp (the image itself), multipart/form-data (a file named ' +
  "image) or application/json ({'image': base64})";

/** Answers an error as `application/problem+json` (RFC 9457) and counts it. */
export function createErrorHandler(metrics: EdgeMetrics) {
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    const error = translate(thrown);
    metrics.errors.inc({ code: error.code });
    if (error.status >= 500) request.log.error({ err: thrown }, error.code);
    if (error.status === 429 || error.status === 503) reply.header('retry-after', '1');
    reply
      .code(error.status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `urn:ask-the-expert:problem:${error.code}`,
          title: error.title,
          status: error.status,
          code: error.code,
          detail: error.message,
        }),
      );
  };
}

function translate(thrown: FastifyError): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new AppError('unsupported-media-type', MEDIA_TYPES);
  const code = translated[thrown.code];
  if (code) return new AppError(code, thrown.message, { cause: thrown });
  const blamesCaller = thrown.statusCode !== undefined && thrown.statusCode >= 400 && thrown.statusCode < 500;
  if (blamesCaller) return new AppError('invalid-body', thrown.message, { cause: thrown });
  return toAppError(thrown);
}
