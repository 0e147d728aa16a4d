import { z } from 'zod';
import { type Answer, answerSchema, problemSchema } from '../local/api.ts';

export interface Remote {
  /** The address of `/classify`, with the query. */
  address: string;
  key?: string | undefined;
  /** Default: no limit. */
  timeoutMs?: number | undefined;
}

/** The service failed, not the picture: the next picture would fail too. */
export class ServiceError extends Error {}

/** The parts of an answer that this program reads. A service of another version may send more. */
const readable = answerSchema
  .pick({ label: true, confidence: true, route: true, expert: true, bytesSent: true })
  .extend({
    topK: z.array(answerSchema.shape.topK.element.pick({ label: true, confidence: true })),
    degraded: z.string().nullable(),
    decision: z.looseObject({ reason: z.string() }),
    timings: answerSchema.shape.timings.pick({ expertRoundTripMs: true, totalMs: true }),
  });

/** Has one picture classified. Throws ServiceError, and Error with the service's objection to the picture. */
export async function postPicture(
  { address, key, timeoutMs }: Remote,
  picture: Uint8Array<ArrayBuffer>,
): Promise<Answer> {
  const response = await fetch(address, {
    method: 'POST',
    headers: {
      'content-type': 'application/octet-stream', // the bytes say what it is
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    body: picture,
    redirect: 'manual', // following would turn it into a GET, or send picture and key to another host
    signal: timeoutMs === undefined ? null : AbortSignal.timeout(timeoutMs),
  }).catch((error: Error) => {
    throw explain(error, address, timeoutMs);
  });
  const { status } = response;
  const type = response.headers.get('content-type');
  const content = await readJson(response, type).catch((error: Error) => {
    throw explain(error, address, timeoutMs);
  });
  if (response.ok && readable.safeParse(content).success) return content as Answer;
  const problem = problemSchema.pick({ code: true, detail: true }).safeParse(content).data;
  if (!response.ok && problem && type?.startsWith('application/problem+json')) {
    const message = `${status} ${problem.code}: ${problem.detail}`;
    throw status === 401 || status === 403 ? new ServiceError(message) : new Error(message);
  }
  const location = response.headers.get('location');
  const where = location === null ? '' : ` and sends to ${location}`;
  throw new ServiceError(`${address} answered ${status} with ${type ?? 'no content type'}${where}: not Ask the Expert`);
}

/** Undefined if it is not JSON; a body of another type is not read at all. */
async function readJson(response: Response, type: string | null): Promise<unknown> {
  if (!/^application\/([\w.+-]+\+)?json\b/i.test(type ?? '')) {
    await response.body?.cancel();
    return undefined;
  }
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function explain(error: Error, address: string, timeoutMs: number | undefined): ServiceError {
  if (error.name === 'TimeoutError') {
    return new ServiceError(`${address} has not answered within ${(timeoutMs as number) / 1000} s`);
  }
  const cause = (error.cause ?? error) as NodeJS.ErrnoException & { errors?: Error[] };
  const code = cause.code ?? '';
  const reason = cause.message || cause.errors?.[0]?.message || code;
  if (/^UNABLE_TO_|SELF_SIGNED/.test(code)) {
    return new ServiceError(`${address}: its certificate is not trusted (${code}); name its CA's with --ca FILE.pem`);
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return new ServiceError(`${address} does not speak TLS (${code}); http:// may be what it takes`);
  }
  return new ServiceError(`${address} does not answer: ${reason}`);
}
