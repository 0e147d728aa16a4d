import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { AppError } from '../../../../shared/request/errors.ts';
import { requirePicture } from '../../../../shared/wire/media-type.ts';
import { decodeBase64, explainBase64 } from './base64.ts';
import type { Submission } from './submission.ts';

export type ParseJson = ReturnType<FastifyInstance['getDefaultJsonParser']>;

/** Far more members and elements than a request needs. */
const MAX_MARKS = 1000;
const EXPECTED = 'the JSON must be {"image": "<base64>"}';

/** `{"image": "<base64>"}`, and members with the names of query parameters. */
export async function readJson(request: IncomingMessage, body: Buffer, parse: ParseJson): Promise<Submission> {
  // Parsing 20 MB of brackets takes seconds on the event loop, and a gigabyte.
  if (isElaborate(body)) throw new AppError('invalid-body', `${EXPECTED}, not a list of numbers or of much else`);
  const value = await new Promise<unknown>((resolve, reject) => {
    void parse(request as never, body.toString('utf8'), (error, parsed) => (error ? reject(error) : resolve(parsed)));
  });
  if (value === null) throw new AppError('empty-body', EXPECTED);
  if (typeof value !== 'object' || Array.isArray(value)) throw new AppError('invalid-body', EXPECTED);
  const { image, ...rest } = value as Record<string, unknown>;
  if (image === undefined) {
    const names = Object.keys(rest)
      .slice(0, 5)
      .map((name) => name.slice(0, 40));
    throw new AppError('invalid-body', `${EXPECTED}; it has ${names.length > 0 ? names.join(', ') : 'no fields'}`);
  }
  if (typeof image !== 'string') throw new AppError('invalid-body', `${EXPECTED}; its field image is no text`);
  const bytes = decodeBase64(image);
  if (!bytes) throw new AppError('invalid-body', `the field image ${explainBase64(image)}`);
  requirePicture(bytes);
  return { picture: bytes, fields: rest };
}

function isElaborate(body: Buffer): boolean {
  let count = 0;
  for (const mark of '[{,') {
    for (let at = body.indexOf(mark); at >= 0; at = body.indexOf(mark, at + 1)) {
      count += 1;
      if (count > MAX_MARKS) return true;
    }
  }
  return false;
}
